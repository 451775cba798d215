"""How long to wait before something is tried again."""

from __future__ import annotations

import random

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 60.0


def pause(attempts: int, *, longest: float = LONGEST_SECONDS) -> float:
    """Return seconds before the next try after `attempts` failed ones: doubling, and spread so that many do not come back at once."""
    full = min(FIRST_SECONDS * 2.0 ** min(max(attempts - 1, 0), 10), longest)
    return full * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load, guards nothing


def poll(age: float, *, remote: bool) -> float:
    """Return seconds before something that has been under way for `age` seconds is looked at again: often at first, then ever less.

    A `remote` cloud's machine takes seconds to boot: to ask it more often than once in one costs a call and a worker's time for nothing.
    """
    return min(max(age * 0.2, 1.0 if remote else 0.15), 3.0) * random.uniform(0.85, 1.0)  # noqa: S311 - see above
