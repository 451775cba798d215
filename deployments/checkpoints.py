"""Named step boundaries of the reconciler, so that tests can crash it at each one."""

from __future__ import annotations

NAMES = (
    "claimed",
    "bundle_stored",
    "bundle_recorded",
    "replica_recorded",
    "replica_ensured",
    "route_switched",
    "replica_deleted",
    "replica_confirmed_gone",
    "deleted",
)


def checkpoint(name: str) -> None:
    """Do nothing. A test puts a function here that raises, and proves that the next look ends in the same state."""
