"""Giving the traffic to replicas, in one transaction with the switch of the status; the route follows after commit."""

from __future__ import annotations

from datetime import datetime, timedelta

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
        Revision.objects.filter(pk=revision.pk).update(state=RevisionState.SERVED, served_at=now, updated_at=now)
        if revision.kind == RevisionKind.AUTO_ROLLBACK and before != revision.number:
            call_faulty(deployment, before, why=revision.note)
        switch_status(
            lease,
            Status.RUNNING,
            reason=standing_reason(deployment, revision.number),
            observed_generation=deployment.generation,
            served_revision=revision.number,
            wanted_replicas=max(1, deployment.wanted_replicas),
            scaled_at=now,
            **watch(deployment, revision, now),
        )
    checkpoint("route_switched")


def call_faulty(deployment: Deployment, number: int, *, why: str) -> None:
    """A revision was taken back, with those of the same version and size: going back without naming one does not lead there again."""
    faulty = Revision.objects.get(deployment=deployment, number=number)
    same = Revision.objects.filter(deployment=deployment, state=RevisionState.SERVED, version=faulty.version_id, size=faulty.size)
    same.update(state=RevisionState.FAILED, reason_code="ROLLED_BACK", reason_detail=why)


def watch(deployment: Deployment, revision: Revision, now: datetime) -> dict[str, datetime | None]:
    """Return from when to when the revision that takes over is watched; a restart goes on with what was left of the time."""
    left = deployment.watch_until is not None and deployment.watch_until > now
    if not deployment.auto_rollback or (revision.kind == RevisionKind.RESTART and not left):
        return {"watch_from": None, "watch_until": None}
    if revision.kind == RevisionKind.RESTART:
        return {"watch_from": now, "watch_until": deployment.watch_until}
    watched = deployment.served_revision not in (0, revision.number) and revision.kind in WATCHED_KINDS
    return {"watch_from": now if watched else None, "watch_until": now + WATCHED_FOR if watched else None}


def standing_reason(deployment: Deployment, serving: int) -> Reason | None:
    """Return why what serves is not what was wanted last: a newer revision failed, or was taken back."""
    last = Revision.objects.filter(deployment=deployment).order_by("-number").first()
    if last is None:
        return None
    if last.number > serving and last.state == RevisionState.FAILED:
        return Reason(last.reason_code, last.reason_detail)
    if last.number == serving and last.kind == RevisionKind.AUTO_ROLLBACK:
        return Reason("ROLLED_BACK", last.note)
    return None


def add_to_traffic(lease: Lease, ready: list[Replica]) -> None:
    """More replicas of the revision that serves."""
    with guarded(lease):
        serve(lease, ready)
        reason = standing_reason(lease.deployment, lease.deployment.served_revision) or Reason("", "")
        Deployment.objects.filter(pk=lease.deployment.pk).update(
            updated_at=clock.now(), reason_code=reason.code, reason_detail=reason.detail, failed_attempts=0
        )
        publish_on_commit(lease.deployment.pk)
    checkpoint("route_widened")


def serve(lease: Lease, ready: list[Replica]) -> None:
    """Mark replicas as serving. Call it under the guard."""
    rows = lease.deployment.replicas.filter(pk__in=[replica.pk for replica in ready], status=ReplicaStatus.STARTING)
    rows.update(status=ReplicaStatus.SERVING)
