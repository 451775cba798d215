"""Named step boundaries of the reconciler, so that tests can end or stop a worker at each one."""

from __future__ import annotations

from collections.abc import Callable

NAMES = (
    "claimed",
    "bundle_stored",
    "bundle_recorded",
    "replica_recorded",
    "replica_ensured",
    "replica_given_up",
    "smoke_failed",
    "route_switched",
    "route_widened",
    "surplus_drained",
    "paused",
    "suspended",
    "replica_deleted",
    "replica_confirmed_gone",
    "stuck_told",
    "deleted",
)


def pass_by(name: str) -> None:
    """Do nothing."""


# A test puts a function here that raises, or lets time pass, and proves that the next look ends in the same state.
hook: Callable[[str], None] = pass_by


def checkpoint(name: str) -> None:
    """Mark a boundary: what was done before it is done, what comes after it is not."""
    hook(name)
