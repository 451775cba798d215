"""What can go wrong inside the room."""

from __future__ import annotations

from controlplane.common.errors import Unavailable
from deployments.states import Reason


class StaleLease(Exception):
    """Another worker holds the deployment now, or its status moved on: whatever this one found out is discarded."""


class ForbiddenSwitch(Exception):
    """ALLOWED has no such step: a bug in the reconciler."""


class BuildFailed(Exception):
    """A bundle cannot be built from this version; building again gives the same answer."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = Reason(code, detail)


class BuildDelayed(Unavailable):
    """A bundle cannot be built now; it is tried again by itself. `reason` is what the deployment shows meanwhile (INDEX_DOWN, BEING_BUILT …)."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.reason = Reason(code, detail)


class BuildUnwanted(Exception):
    """No deployment waits for this build any more: all were paused, deleted, or want something else."""
