"""How many replicas there are to be, and of what."""

from __future__ import annotations

from deployments.models import Bundle, Deployment
from deployments.reconcile.replicas import Plan
from deployments.states import Status


def target(deployment: Deployment) -> int:
    """Return how many replicas there should be; while something starts or is replaced at least one, whatever the demand is."""
    wanted = within_limits(deployment)
    return wanted if deployment.status == Status.RUNNING else max(1, wanted)


def within_limits(deployment: Deployment) -> int:
    """Return how many replicas the demand needs."""
    return min(max(deployment.wanted_replicas, deployment.min_replicas), deployment.max_replicas)


def wanted_plan(deployment: Deployment, bundle: Bundle) -> Plan:
    """Return what there is to be of the wanted revision."""
    proven = deployment.served_revision == deployment.revision
    return Plan(deployment.revision, deployment.wanted_version_id, deployment.size, bundle.digest, target(deployment), proven=proven)
