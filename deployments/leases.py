"""Leases: one worker at a time works on a deployment, and a worker that dies lets go by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.db import transaction

from controlplane.common import clock
from deployments.errors import StaleLease
from deployments.models import Deployment

# Longer than any one step takes; each step renews it.
LEASE = timedelta(seconds=45)


@dataclass(slots=True)
class Lease:
    """The right to work on a deployment, as its row was last read. `afterwards` is called once it is let go."""

    deployment: Deployment
    token: UUID
    until: datetime
    afterwards: list[Callable[[], None]] = field(default_factory=list)


def claim(pk: UUID, *, due_by: datetime | None = None) -> Lease | None:
    """Take the deployment if no live worker has it; a row that is locked right now counts as taken. Returns None then.

    With `due_by`, only one that is due until then.
    """
    now = clock.now()
    with transaction.atomic():
        rows = Deployment.objects.select_for_update(skip_locked=True, no_key=True).unleased(now)
        if due_by is not None:
            rows = rows.filter(next_check_at__lte=due_by)
        if not rows.filter(pk=pk).values_list("pk"):
            return None
        token = uuid4()
        Deployment.objects.filter(pk=pk).update(lease_token=token, lease_expires_at=now + LEASE)
    return Lease(read_leased(pk, token), token, now + LEASE)


def renew(lease: Lease) -> None:
    """Read the deployment again and extend the lease. Raises StaleLease when it is another's."""
    pk = lease.deployment.pk
    until = clock.now() + LEASE
    if not Deployment.objects.filter(pk=pk, lease_token=lease.token).update(lease_expires_at=until):
        raise StaleLease(pk)
    lease.until = until
    lease.deployment = read_leased(pk, lease.token)


def read_leased(pk: UUID, token: UUID) -> Deployment:
    """Return the row with what the steps need of its relations."""
    # Documents of workflows are large, and most looks have no use for them.
    rows = Deployment.objects.select_related("workflow__project", "wanted_version").defer("wanted_version__data")
    found: Deployment | None = rows.filter(pk=pk, lease_token=token).first()
    if found is None:
        raise StaleLease(pk)
    return found


def extend(lease: Lease) -> None:
    """Keep the lease during a step of several calls to a provider, each of which may take seconds. Raises StaleLease when it is another's."""
    now = clock.now()
    rows = Deployment.objects.filter(pk=lease.deployment.pk, lease_token=lease.token)
    if lease.until - now < LEASE * 2 / 3:
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
