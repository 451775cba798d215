"""Credits as people write them, read exactly."""

from __future__ import annotations

import re

from billing.pricing import MICRO_PER_CREDIT
from controlplane.common.errors import InvalidInput

DECIMALS = 6
FORM = re.compile(r"(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<part>\d+))?", re.ASCII)


def micro_credits_of(text: str) -> int:
    """Return the micro-credits of "500", "1,234.5" or "0.000001". Raises `InvalidInput` for anything else, more than six decimals too."""
    found = FORM.fullmatch(text.strip())
    part = (found["part"] or "") if found else ""
    if found is None or len(part) > DECIMALS:
        detail = f"'{text[:40]}' is no amount of credits. Write it like 500 or 1,234.5, with at most {DECIMALS} decimals."
        raise InvalidInput("bad_amount", detail, fields={"amount": [detail]})
    return int(found["whole"].replace(",", "")) * MICRO_PER_CREDIT + int(part.ljust(DECIMALS, "0"))
