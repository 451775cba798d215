"""The end of an attempt that failed: back to what served before, or ERROR."""

from __future__ import annotations

from typing import Any

from controlplane.common import clock
from deployments.leases import Lease, guarded
from deployments.models import Deployment, Revision, RevisionKind, RevisionState
from deployments.reconcile import leaving, traffic
from deployments.reconcile.outcome import GO_ON, Outcome
from deployments.states import Reason, ReplicaStatus, Status
from deployments.transitions import switch_status


def settle_failure(lease: Lease, reason: Reason) -> Outcome:
    """End a failed attempt: back to the revision that served before, with the reason shown; ERROR where there is none.

    A newer intent that arrived meanwhile stays: the next look finds its generation unobserved.
    """
    deployment = lease.deployment
    former = Revision.objects.filter(deployment=deployment, number=deployment.served_revision, version__isnull=False).first()
    back = former if former is not None and former.number != deployment.revision else None
    with guarded(lease):
        starting = deployment.replicas.filter(status=ReplicaStatus.STARTING)
        leaving.drain(lease, starting if back is None else starting.exclude(revision=back.number))
        failed = Revision.objects.filter(deployment=deployment, number=deployment.revision).exclude(number=deployment.served_revision)
        failed.update(state=RevisionState.FAILED, reason_code=reason.code, reason_detail=reason.detail)
        if back is None:
            switch_status(lease, Status.ERROR, reason=reason, observed_generation=deployment.generation)
        else:
            go_back(lease, back, reason)
    return GO_ON


def go_back(lease: Lease, back: Revision, reason: Reason) -> None:
    """Want the revision again that served before. While it serves nothing is to be done for it; after a pause or a loss it is started."""
    deployment = lease.deployment
    unchanged = Deployment.objects.filter(pk=deployment.pk, generation=deployment.generation)
    wanted = {"revision": back.number, "wanted_version": back.version_id, "size": back.size}
    if deployment.status == Status.UPDATING:
        unchanged.update(**wanted)
        switch_status(lease, Status.RUNNING, reason=reason, observed_generation=deployment.generation, **watch_again(deployment))
    elif unchanged.update(**wanted) and deployment.status == Status.SCALING:
        switch_status(lease, Status.BUILDING, reason=reason)


def watch_again(deployment: Deployment) -> dict[str, Any]:
    """A faulty revision that could not be taken back is watched again: if it goes on to fail, taking it back is tried again."""
    failed = Revision.objects.filter(deployment=deployment, number=deployment.revision).first()
    if failed is None or failed.kind != RevisionKind.AUTO_ROLLBACK or not deployment.auto_rollback:
        return {}
    now = clock.now()
    return {"watch_from": now, "watch_until": now + traffic.WATCHED_FOR}
