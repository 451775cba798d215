"""What waits for longer than anything should: told to the operators, and taken back when it goes on."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import redis
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q

from controlplane.common import clock
from controlplane.common.clock import milliseconds
from controlplane.common.valkey import valkey
from deployments.alerts import clear_alert, raise_alert
from deployments.models import Alert, AlertKind, Deployment, Replica, StatusChange
from deployments.states import DesiredState, ReplicaStatus, Status

logger = logging.getLogger(__name__)

OVERDUE_AFTER = timedelta(minutes=30)
UNDER_WAY = (Status.QUEUED, Status.BUILDING, Status.SCALING, Status.UPDATING, Status.DELETING)
# As many looks in a row that end in an error are no passing fault any more.
MANY_FAULTS = 8
# A deployment that loses all its replicas so often in an hour does not serve, whatever its status says in between.
MANY_LOSSES = 4
LOSSES_COUNT_FOR = timedelta(hours=1)
SILENT_AFTER = timedelta(minutes=5)


def tell_overdue() -> int:
    """Alert of deployments that are not as they are wanted for much longer than any step may take; returns how many there are."""
    now = clock.now()
    late = {deployment.pk: detail for deployment, detail in overdue(now)}
    with transaction.atomic():
        for pk, detail in late.items():
            raise_alert(AlertKind.OVERDUE, str(pk), deployment_id=pk, detail=detail)
        for alert in Alert.objects.filter(kind=AlertKind.OVERDUE, cleared_at=None).exclude(subject__in=[str(pk) for pk in late]):
            clear_alert(AlertKind.OVERDUE, alert.subject)
    return len(late)


def overdue(now: datetime) -> list[tuple[Deployment, str]]:
    """Return each deployment that waits, with what an operator reads about it."""
    limit = now - OVERDUE_AFTER
    waiting = Replica.objects.filter(deployment=OuterRef("pk"), status=ReplicaStatus.STARTING, created_at__lt=limit)
    lossy = losing(now)
    rows = Deployment.objects.exclude(status=Status.DELETED).annotate(short=Exists(waiting))
    under_way = Q(status__in=UNDER_WAY, status_since__lt=limit)
    short = Q(short=True, status=Status.RUNNING, desired_state=DesiredState.RUNNING)
    found = rows.filter(under_way | short | Q(faults__gte=MANY_FAULTS) | Q(next_check_at__lt=limit) | Q(pk__in=lossy))
    return [(deployment, describe(deployment, lossy.get(deployment.pk, 0), limit)) for deployment in found]


def losing(now: datetime) -> dict[UUID, int]:
    """Return the deployments that lost all their replicas again and again, and how often."""
    lost = StatusChange.objects.filter(created_at__gte=now - LOSSES_COUNT_FOR, reason_code="REPLICA_LOST").order_by()
    often = lost.values_list("deployment_id").annotate(times=Count("pk")).filter(times__gte=MANY_LOSSES)
    return dict(often)


def describe(deployment: Any, losses: int, limit: datetime) -> str:
    """Return what is wrong with a deployment."""
    name = deployment.path
    if deployment.faults >= MANY_FAULTS:
        what = f"{name} ({deployment.status}): {deployment.faults} looks in a row ended in an error; the workers' log has it."
    elif deployment.next_check_at is not None and deployment.next_check_at < limit:
        what = f"{name} ({deployment.status}) is due since {deployment.next_check_at:%Y-%m-%d %H:%M} UTC, and no worker has looked at it."
    elif losses:
        what = f"{name} lost all its replicas {losses} times within an hour."
    elif deployment.status == Status.RUNNING:
        what = f"{name} has waited for a replica for more than {OVERDUE_AFTER.seconds // 60} minutes."
    else:
        what = f"{name} has been {deployment.status} since {deployment.status_since:%Y-%m-%d %H:%M} UTC."
    return f"{what} {deployment.reason_detail}".strip()


def silence_key(backend: str) -> str:
    """Return the key of the time, in ms since 1970, since which a provider has not answered."""
    return f"sw:silent:{backend}"


def note_silence(backend: str, problem: str) -> None:
    """A provider does not answer: nothing can be started, removed or charged there. Tell it once it is more than a hiccup."""
    now = clock.now()
    try:
        valkey().set(silence_key(backend), milliseconds(now), nx=True)
        since: Any = valkey().get(silence_key(backend))
    except redis.RedisError as error:
        logger.info("silence of %s not noted: %s", backend, error)
        return
    began = datetime.fromtimestamp(int(since or milliseconds(now)) / 1000, UTC)
    if now - began >= SILENT_AFTER:
        raise_alert(AlertKind.PROVIDER_SILENT, backend, detail=f"{backend} does not answer since {began:%Y-%m-%d %H:%M} UTC: {problem}")


def note_answer(backend: str) -> None:
    """A provider answers."""
    clear_alert(AlertKind.PROVIDER_SILENT, backend)
    try:
        valkey().delete(silence_key(backend))
    except redis.RedisError as error:
        logger.info("answer of %s not noted: %s", backend, error)
