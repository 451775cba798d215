"""Giving the traffic to replicas, in one transaction with the switch of the status; the route follows after commit."""

from __future__ import annotations

from datetime import timedelta

from controlplane.common import clock
from deployments.checkpoints import checkpoint
from deployments.leases import Lease, guarded
from deployments.models import Deployment, Replica, Revision, RevisionKind, RevisionState
from deployments.reconcile.leaving import drain
from deployments.routing import publish_on_commit
from deployments.states import Reason, ReplicaStatus, Status
from deployments.transitions import switch_status

# A new version is watched for this long; see watch.py.
WATCHED_FOR = timedelta(minutes=10)
# A first revision and a restart have nothing other to go back to.
WATCHED_KINDS = (RevisionKind.UPDATE, RevisionKind.RESIZE)


def switch_revision(lease: Lease, ready: list[Replica]) -> None:
    """The wanted revision takes over: its ready replicas serve, those of other revisions drain, the deployment runs."""
    deployment = lease.deployment
    now = clock.now()
    with guarded(lease):
        serve(lease, ready)
        drain(lease, deployment.replicas.exclude(revision=deployment.revision).filter(status__in=["SERVING", "STARTING"]))
        revision = Revision.objects.get(deployment=deployment, number=deployment.revision)
        before = deployment.served_revision
        watched = before not in (0, revision.number) and revision.kind in WATCHED_KINDS and deployment.auto_rollback
        Revision.objects.filter(pk=revision.pk).update(state=RevisionState.SERVED, served_at=now, updated_at=now)
        rolled_back = revision.kind == RevisionKind.AUTO_ROLLBACK and before != revision.number
        switch_status(
            lease,
            Status.RUNNING,
            reason=Reason("ROLLED_BACK", revision.note) if rolled_back else None,
            observed_generation=deployment.generation,
            served_revision=revision.number,
            wanted_replicas=max(1, deployment.wanted_replicas),
            scaled_at=now,
            watch_from=now if watched else None,
            watch_until=now + WATCHED_FOR if watched else None,
        )
    checkpoint("route_switched")


def add_to_traffic(lease: Lease, ready: list[Replica]) -> None:
    """More replicas of the revision that serves."""
    with guarded(lease):
        serve(lease, ready)
        Deployment.objects.filter(pk=lease.deployment.pk).update(
            updated_at=clock.now(), reason_code="", reason_detail="", failed_attempts=0
        )
        publish_on_commit(lease.deployment.pk)
    checkpoint("route_widened")


def serve(lease: Lease, ready: list[Replica]) -> None:
    """Mark replicas as serving. Call it under the guard."""
    rows = lease.deployment.replicas.filter(pk__in=[replica.pk for replica in ready], status=ReplicaStatus.STARTING)
    rows.update(status=ReplicaStatus.SERVING)
