"""Leases: one worker at a time works on a deployment, and a worker that dies lets go by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import connection, transaction

from controlplane.common import clock
from deployments.errors import StaleLease
from deployments.models import Deployment

# Two thirds are longer than any one step takes; each step has so much left.
LEASE = timedelta(seconds=45)
RENEWED_BELOW = LEASE * 2 / 3
# One statement, which is a transaction by itself: every look begins with it.
CLAIM = """
UPDATE deployments_deployment SET lease_token = %(token)s, lease_expires_at = %(until)s
WHERE id = (
    SELECT id FROM deployments_deployment
    WHERE id = %(pk)s AND (lease_expires_at IS NULL OR lease_expires_at < %(now)s)
    AND (%(due_by)s::timestamptz IS NULL OR next_check_at <= %(due_by)s OR next_check_at = %(handed_out)s)
    FOR NO KEY UPDATE SKIP LOCKED
)
"""


@dataclass(slots=True)
class Lease:
    """The right to work on a deployment, as its row was last read. `afterwards` is called once it is let go."""

    deployment: Deployment
    token: UUID
    until: datetime
    afterwards: list[Callable[[], None]] = field(default_factory=list)


def claim(pk: UUID, *, due_by: datetime | None = None, handed_out: datetime | None = None) -> Lease | None:
    """Take the deployment if no live worker has it; a row that is locked right now counts as taken. Returns None then.

    With `due_by`, only one that is due until then, or whose next look is still at the moment that beat wrote when it handed it out.
    """
    now = clock.now()
    token = uuid4()
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"pk": pk, "token": token, "until": now + LEASE, "now": now, "due_by": due_by, "handed_out": handed_out})
        if not cursor.rowcount:
            return None
    return Lease(read_leased(pk, token), token, now + LEASE)


def renew(lease: Lease) -> None:
    """Read the deployment again, and extend the lease once a third of it is over. Raises StaleLease when it is another's."""
    pk, now = lease.deployment.pk, clock.now()
    if lease.until - now < RENEWED_BELOW:
        if not Deployment.objects.filter(pk=pk, lease_token=lease.token).update(lease_expires_at=now + LEASE):
            raise StaleLease(pk)
        lease.until = now + LEASE
    lease.deployment = read_leased(pk, lease.token)


def read_leased(pk: UUID, token: UUID) -> Deployment:
    """Return the row with what the steps need of its relations."""
    # Documents of workflows are large, and most looks have no use for them. Not `first`, which sorts one row.
    rows = Deployment.objects.select_related("workflow", "wanted_version").defer("wanted_version__data")
    found: list[Deployment] = list(rows.filter(pk=pk, lease_token=token))
    if not found:
        raise StaleLease(pk)
    return found[0]


def extend(lease: Lease) -> None:
    """Keep the lease during a step of several calls to a provider, each of which may take seconds. Raises StaleLease when it is another's."""
    now = clock.now()
    if lease.until - now < RENEWED_BELOW:
        rows = Deployment.objects.filter(pk=lease.deployment.pk, lease_token=lease.token)
        if not rows.filter(lease_expires_at__gt=now).update(lease_expires_at=now + LEASE):
            raise StaleLease(lease.deployment.pk)
        lease.until = now + LEASE


@contextmanager
def guarded(lease: Lease) -> Iterator[None]:
    """A transaction that only a holder in time can make: status and token are checked under the row's lock. Raises StaleLease."""
    deployment = lease.deployment
    with transaction.atomic():
        held = Deployment.objects.select_for_update(no_key=True).filter(
            pk=deployment.pk, status=deployment.status, lease_token=lease.token, lease_expires_at__gt=clock.now()
        )
        if not held.values_list("pk"):
            raise StaleLease(deployment.pk)
        yield


def release(lease: Lease, *, wait: float | None, faults: int = 0) -> float | None:
    """Let go and say when to look again: in `wait` seconds, or None = when someone asks. `faults`: the looks in a row that ended in an error.

    If the intent or the demand changed after it was last read here, it is due at once. Returns the seconds until the next look.
    """
    now = clock.now()
    deployment = lease.deployment
    held = Deployment.objects.filter(pk=deployment.pk, lease_token=lease.token)
    unmoved = held.filter(generation=deployment.generation, wanted_replicas=deployment.wanted_replicas)
    free = {"lease_token": None, "lease_expires_at": None, "faults": faults}
    if unmoved.update(**free, next_check_at=None if wait is None else now + timedelta(seconds=wait)):
        return wait
    return 0.0 if held.update(**free, next_check_at=now) else wait
