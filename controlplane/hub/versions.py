"""Semantic versions of published algorithms. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from controlplane.common.errors import InvalidInput

RULE = re.compile(r"^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})(?:\.(0|[1-9]\d{0,5}))?$", re.ASCII)


class HubVersionNumber(NamedTuple):
    """A version, such as 1.2.0."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST = HubVersionNumber(1, 0, 0)


def parse_version(text: str) -> HubVersionNumber:
    """Read `major.minor` or `major.minor.patch`. Raises `InvalidInput`; 0.0.0 is no version for the engine."""
    match = RULE.fullmatch(text)
    number = HubVersionNumber(*(int(part or 0) for part in match.groups())) if match else None
    if number is None or number == (0, 0, 0):
        raise InvalidInput(
            "version",
            "A version has the form 1.2.0: three numbers without leading zeros, above 0.0.0, and nothing behind them.",
            fields={"version": ["not of the form 1.2.0"]},
        )
    return number


def next_versions(newest: HubVersionNumber | None) -> dict[str, HubVersionNumber]:
    """Return what can follow a version; three times the first one before anything is published."""
    if newest is None:
        return {"major": FIRST, "minor": FIRST, "patch": FIRST}
    return {
        "major": HubVersionNumber(newest.major + 1, 0, 0),
        "minor": HubVersionNumber(newest.major, newest.minor + 1, 0),
        "patch": HubVersionNumber(newest.major, newest.minor, newest.patch + 1),
    }
