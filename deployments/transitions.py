"""The one door to a deployment's status."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from controlplane.common import clock
from deployments.announcements import announce_status
from deployments.errors import ForbiddenSwitch, StaleLease
from deployments.leases import Lease
from deployments.models import Deployment, StatusChange
from deployments.paying import end_start
from deployments.routing import forget_on_commit, publish_on_commit
from deployments.states import ALLOWED, Reason, Status

# What was reserved for a start, and did not go to its instances, is free again in these.
START_IS_OVER = frozenset({Status.RUNNING, Status.ERROR, Status.PAUSED, Status.SUSPENDED, Status.DELETING, Status.DELETED})


def switch_status(lease: Lease, status: Status, *, reason: Reason | None = None, **changes: Any) -> None:
    """Move the deployment to `status` and write its StatusChange in the same transaction; the route follows after commit.

    `changes` are other fields of the row that belong to the step. Raises ForbiddenSwitch, and StaleLease if the status or the lease
    is not what the holder believes.
    """
    deployment = lease.deployment
    before = Status(deployment.status)
    if status not in ALLOWED[before]:
        raise ForbiddenSwitch(f"{before} → {status}")
    now = clock.now()
    code, detail = (reason.code, reason.detail) if reason else ("", "")
    fields = {"status": status, "status_since": now, "updated_at": now, "failed_attempts": 0, **changes}
    with transaction.atomic(savepoint=False):
        held = Deployment.objects.filter(pk=deployment.pk, status=before, lease_token=lease.token, lease_expires_at__gt=now)
        if not held.update(reason_code=code, reason_detail=detail, **fields):
            raise StaleLease(deployment.pk)
        StatusChange.objects.create(
            deployment_id=deployment.pk,
            before=before,
            after=status,
            generation=deployment.generation,
            reason_code=code,
            reason_detail=detail,
        )
        announce_status(deployment, before, status, reason)
        if status in START_IS_OVER:
            end_start(deployment)
        if deployment.served_revision == 0 and status in (Status.BUILDING, Status.SCALING):
            forget_on_commit(deployment.slug)
        else:
            publish_on_commit(deployment.pk)
    for name, value in {**fields, "reason_code": code, "reason_detail": detail}.items():
        setattr(deployment, name, value)


def note_reason(lease: Lease, reason: Reason) -> None:
    """Say why a deployment stays where it is (a provider that does not answer, for instance) and count the failed attempt."""
    deployment = lease.deployment
    held = Deployment.objects.filter(pk=deployment.pk, status=deployment.status, lease_token=lease.token)
    attempts = deployment.failed_attempts + 1
    if not held.update(reason_code=reason.code, reason_detail=reason.detail, failed_attempts=attempts):
        raise StaleLease(deployment.pk)
    deployment.failed_attempts = attempts
