"""Claim, step until there is nothing to do now, let go."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from controlplane.common import clock
from deployments.checkpoints import checkpoint
from deployments.errors import StaleLease
from deployments.leases import Lease, claim, release, renew
from deployments.models import Deployment
from deployments.reconcile.backoff import pause
from deployments.reconcile.settling import settle_failure
from deployments.reconcile.steps import next_step
from deployments.states import Reason, Status

logger = logging.getLogger(__name__)

MOST_STEPS = 30
ATTEMPTS_BEFORE_ERROR = 8
WORKING = {Status.QUEUED, Status.BUILDING, Status.SCALING, Status.UPDATING}
# A task that was handed out and lost is handed out again after this.
HANDED_OUT = timedelta(seconds=10)
# Clocks of two machines may differ by this much.
EARLY = timedelta(milliseconds=100)
MOST_DUE = 200
# What is locked right now is in another hand and due again with the next beat.
TAKE_DUE = """
WITH due AS (
    SELECT id, next_check_at AS since FROM deployments_deployment
    WHERE next_check_at <= %(now)s AND (lease_expires_at IS NULL OR lease_expires_at < %(now)s)
    ORDER BY next_check_at LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
    UPDATE deployments_deployment SET next_check_at = %(handed_out)s FROM due WHERE deployments_deployment.id = due.id
)
SELECT id FROM due ORDER BY since
"""


def follow_hint(pk: UUID, *, handed_out: datetime | None = None) -> float | None:
    """`reconcile` what is due, or what beat handed out if nobody has looked at it since; hints that come late, or twice, cost no look."""
    return reconcile(pk, due_by=clock.now() + EARLY, handed_out=handed_out)


def reconcile(pk: UUID, *, due_by: datetime | None = None, handed_out: datetime | None = None) -> float | None:
    """Bring one deployment as near to its intent as is possible now; return the seconds until the next look, None = when asked.

    Another worker's lease makes this a no-op. What was found out under a lease that is lost is discarded.
    """
    lease = claim(pk, due_by=due_by, handed_out=handed_out)
    if lease is None:
        return None
    try:
        checkpoint("claimed")
        wait = take_steps(lease)
    except StaleLease:
        logger.info("deployment %s: lease lost, results discarded", pk)
        return None
    except Exception:
        after_fault(lease)
        raise
    wait = release(lease, wait=wait)
    for call in lease.afterwards:
        call()
    return wait


def take_steps(lease: Lease) -> float | None:
    """Repeat steps until one says to wait."""
    for _ in range(MOST_STEPS):
        outcome = next_step(lease)
        if outcome is not None:
            return outcome.seconds
        renew(lease)
    return 0.0


def after_fault(lease: Lease) -> None:
    """Something that nobody foresaw: back off and try again; after eight times tell the user and stop."""
    deployment = lease.deployment
    faults = deployment.faults + 1
    held = Deployment.objects.filter(pk=deployment.pk, lease_token=lease.token)
    held.update(faults=faults)
    if faults >= ATTEMPTS_BEFORE_ERROR and deployment.status in WORKING:
        try:
            settle_failure(lease, Reason("INTERNAL_ERROR", "The service failed to do this several times; its log says why."))
        except StaleLease:
            return
    release(lease, wait=pause(faults), faults=faults)


def take_due(until: datetime | None = None) -> list[UUID]:
    """Return the deployments to look at now and mark them as handed out `until` then, so that a slow worker does not get them again each second."""
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.execute(TAKE_DUE, {"now": now, "handed_out": until or now + HANDED_OUT, "most": MOST_DUE})
        return [pk for (pk,) in cursor.fetchall()]
