"""Named boundaries of what handles money, so that tests can end a process at each one."""

from __future__ import annotations

from collections.abc import Callable

NAMES = ("spans_charged", "metered", "payers_locked", "runs_charged", "usage_committed")


def pass_by(name: str) -> None:
    """Do nothing."""


# A test puts a function here that ends the process, and proves that the next one ends in the same sums.
hook: Callable[[str], None] = pass_by


def checkpoint(name: str) -> None:
    """Mark a boundary: what was done before it is done (or part of an open transaction), what comes after it is not."""
    hook(name)
