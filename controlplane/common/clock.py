"""The clock: one function to ask for the time, so that tests can move it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


def milliseconds(moment: datetime) -> int:
    """Return whole milliseconds since 1970 of an aware moment."""
    return int(moment.timestamp() * 1000)
