"""A run on a new revision before it gets the traffic."""

from __future__ import annotations

from deployments.leases import Lease
from deployments.models import Replica
from deployments.states import Reason


def try_revision(lease: Lease, replica: Replica) -> Reason | None:
    """Return why the revision must not get the traffic, None when it may."""
    return None
