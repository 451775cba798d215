"""When something is tried again, and when it is given up."""

from __future__ import annotations

import random
from datetime import timedelta

# Seconds between the attempts at one delivery: 12 of them in about three days, then it is DEAD.
PAUSES = (5, 30, 120, 600, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 12 * 3600, 12 * 3600, 24 * 3600)
MOST_ATTEMPTS = len(PAUSES) + 1
LONGEST_RETRY_AFTER = 3600

# A receiver that fails this often in a row is left alone for a while, whatever waits for it.
FAILURES_BEFORE_HOLD = 3
FIRST_HOLD, LONGEST_HOLD = 5.0, 300.0
# A fault on our side (a key that does not open a secret, no file handles) says nothing of the receiver; it may last.
FAULT_PAUSE = timedelta(seconds=30)
DISABLE_AFTER = timedelta(days=3)


def pause_after(attempts: int, *, retry_after: int | None = None) -> timedelta | None:
    """Return how long to wait after so many failed attempts, None to give up. What a receiver asks for counts up to an hour."""
    if attempts >= MOST_ATTEMPTS:
        return None
    asked = min(retry_after or 0, LONGEST_RETRY_AFTER)
    return timedelta(seconds=spread(max(PAUSES[attempts - 1], asked)))


def hold_after(failures: int) -> timedelta | None:
    """Return how long a receiver with so many failures in a row is left alone; None for the first of them, which may be chance."""
    if failures < FAILURES_BEFORE_HOLD:
        return None
    doublings = min(failures - FAILURES_BEFORE_HOLD, 10)
    return timedelta(seconds=spread(min(FIRST_HOLD * 2.0**doublings, LONGEST_HOLD)))


def spread(seconds: float) -> float:
    """Return up to a fifth more, so that what failed together does not come back together."""
    return seconds * random.uniform(1.0, 1.2)  # noqa: S311 - spreads load, guards nothing
