"""docs/webhooks.md keeps its word."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

from controlplane.embedded.options import REPOSITORY
from controlplane.webhooks.catalogue import EVENTS, PING
from controlplane.webhooks.schedule import PAUSES
from controlplane.webhooks.signing import new_secret, signed_headers

PAGE = (REPOSITORY / "docs" / "webhooks.md").read_text()
UNITS = {"s": 1, "min": 60, "h": 3600}


def test_every_event_is_documented():
    assert {name for name in (*EVENTS, PING) if f"`{name}`" not in PAGE} == set()


def test_receivers_can_copy_the_verification():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    shown: dict[str, Any] = {}
    exec(code, shown)  # noqa: S102 - our own page
    old, new = new_secret(), new_secret()
    headers = signed_headers([new, old], event_id="0198b2d0", timestamp=int(time.time()), body=b"{}")
    late = signed_headers([new], event_id="0198b2d0", timestamp=int(time.time() - timedelta(hours=1).total_seconds()), body=b"{}")

    assert [shown["verify"](secret, headers, b"{}") for secret in (old, new)] == [True, True]
    assert not shown["verify"](new, headers, b"{ }")
    assert not shown["verify"](new_secret(), headers, b"{}")
    assert not shown["verify"](new, late, b"{}")


def test_the_table_of_attempts_is_the_one_that_is_kept():
    attempts, pauses = (line.strip("| \n").split("|")[1:] for line in re.findall(r"^\| (?:Attempt|after) \|.*$", PAGE, re.MULTILINE))
    found: list[int] = []
    for cell, pause in zip(attempts, pauses, strict=True):
        numbers = [int(text) for text in re.findall(r"\d+", cell)]
        number, unit = pause.split()[:2]
        found += [int(number) * UNITS[unit]] * (numbers[-1] - numbers[0] + 1)

    assert tuple(found) == PAUSES
