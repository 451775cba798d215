"""Periods: whole months counted from the anchor, each on the anchor's day or the last one of a shorter month."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime

MONTHS = {"month": 1, "year": 12}


def months_after(anchor: int, months: int) -> int:
    """Return the time so many months after an anchor (seconds since 1970, in UTC)."""
    start = datetime.fromtimestamp(anchor, UTC)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return int(start.replace(year=year, month=month + 1, day=min(start.day, monthrange(year, month + 1)[1])).timestamp())


def period_at(anchor: int, interval: str, count: int, at: int) -> tuple[int, int]:
    """Return the period of a subscription that a time lies in: its start, and its end, which is not in it."""
    step = MONTHS[interval] * count
    number = 0
    while months_after(anchor, (number + 1) * step) <= at:
        number += 1
    return months_after(anchor, number * step), months_after(anchor, (number + 1) * step)
