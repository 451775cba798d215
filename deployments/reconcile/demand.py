"""How many replicas the calls need: told by the gateways in Valkey, turned into `wanted_replicas` within each deployment's limits.

A sleeping deployment is woken by the first call; more replicas come at once, fewer only after a calm while.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import redis
from django.db import connection
from django.db.models import Count, Q, Sum

from controlplane.common import clock
from controlplane.common.clock import milliseconds
from controlplane.common.valkey import valkey
from deployments.models import Deployment
from deployments.states import SERVING_STATUSES, DesiredState, ReplicaStatus
from deployments.wakeups import send_wakeup

logger = logging.getLogger(__name__)

WAKE = "sw:wake"
ACTIVE = "sw:active"
WAKES_A_TICK = 200
REPORT_LIFE_MS = 10_000
SCALE_DOWN_AFTER = timedelta(seconds=120)
# `scaled_at` says until when the present number was needed; it is not written more often than this.
NOTED_EACH = timedelta(seconds=20)
# Asked each second. Django takes ten times as long to put this into words as PostgreSQL to answer it.
OVERDUE = """
SELECT id FROM deployments_deployment
WHERE status = ANY(%(statuses)s) AND desired_state = 'RUNNING' AND (max_replicas > 1 OR min_replicas = 0 AND idle_seconds > 0)
AND (
    wanted_replicas < min_replicas OR wanted_replicas > max_replicas
    OR wanted_replicas > min_replicas AND (wanted_replicas > 1 OR min_replicas = 0)
    AND greatest(status_since, scaled_at)
        + CASE wanted_replicas WHEN 1 THEN idle_seconds ELSE %(calm)s END * interval '1 second' <= %(now)s
)
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What the gateways report of a deployment now: runs in flight (waiting ones too) and the time of the last request."""

    in_flight: int = 0
    last_request: datetime | None = None


def load_key(pk: UUID) -> str:
    """Return the key of the reports about a deployment: gateway → "<in flight>:<last request ms>:<reported at ms>"."""
    return f"sw:load:{pk}"


def follow_demand() -> int:
    """One look at calls and limits; returns how many deployments are to change. Valkey away means: nothing is known, nothing changes."""
    try:
        woken = take_wakes()
        elastic = scalable(woken | called_lately() | overdue(clock.now()))
        loads = read_loads([deployment.pk for deployment in elastic])
    except redis.RedisError as error:
        logger.info("demand unknown: %s", error)
        return 0
    return sum(settle(deployment, loads[deployment.pk], woken=deployment.pk in woken) for deployment in elastic)


def take_wakes() -> set[UUID]:
    """Take the deployments that runs wait for; gateways ask again each second, so one that is lost here comes back."""
    found: Any = valkey().spop(WAKE, WAKES_A_TICK)
    return set(filter(None, map(id_in, found or [])))


def id_in(text: bytes) -> UUID | None:
    """Return the id of a deployment, None for a text that is none."""
    try:
        return UUID(text.decode())
    except ValueError:
        logger.warning("%r is no id of a deployment", text[:60])
        return None


def called_lately() -> set[UUID]:
    """Return the deployments that gateways have reported of so lately that their reports count."""
    oldest = milliseconds(clock.now()) - REPORT_LIFE_MS
    found: Any = valkey().zrangebyscore(ACTIVE, oldest, "+inf")
    return set(filter(None, map(id_in, found)))


def overdue(now: datetime) -> set[UUID]:
    """Return the deployments that are looked at though nobody calls; all others stay in the database, however many they are.

    They have more replicas than they must, for longer than they keep them uncalled, or are outside of their limits.
    """
    with connection.cursor() as cursor:
        cursor.execute(OVERDUE, {"now": now, "statuses": [*SERVING_STATUSES], "calm": SCALE_DOWN_AFTER.total_seconds()})
        return {pk for (pk,) in cursor.fetchall()}


def scalable(pks: set[UUID]) -> list[Deployment]:
    """Return those of the deployments whose number of replicas may change, each with its `serving` replicas and their `workers`."""
    if not pks:
        return []
    rows = Deployment.objects.filter(pk__in=pks, status__in=SERVING_STATUSES, desired_state=DesiredState.RUNNING)
    flexible = Q(max_replicas__gt=1) | Q(min_replicas=0, idle_seconds__gt=0)
    serving = Q(replicas__status=ReplicaStatus.SERVING)
    return list(rows.filter(flexible).annotate(workers=Sum("replicas__workers", filter=serving), serving=Count("replicas", filter=serving)))


def read_loads(pks: list[UUID]) -> dict[UUID, Load]:
    """Return the load of each deployment; reports of gateways that are silent count no more."""
    pipe = valkey().pipeline(transaction=False)
    for pk in pks:
        pipe.hvals(load_key(pk))
        pipe.zscore(ACTIVE, str(pk))
    answers: list[Any] = pipe.execute()
    oldest = milliseconds(clock.now()) - REPORT_LIFE_MS
    return {pk: parse_load(answers[2 * index], answers[2 * index + 1], oldest) for index, pk in enumerate(pks)}


def parse_load(reports: list[bytes], active: float | None, oldest: int) -> Load:
    """Add up the reports that are young enough."""
    in_flight, last = 0, int(active or 0)
    for report in reports:
        try:
            count, requested, reported = (int(part) for part in report.decode().split(":"))
        except ValueError:
            continue
        last = max(last, requested)
        if reported >= oldest:
            in_flight += max(count, 0)
    return Load(in_flight, datetime.fromtimestamp(last / 1000, UTC) if last else None)


def settle(deployment: Deployment, load: Load, *, woken: bool) -> bool:
    """Write the number of replicas that the load needs, if it is another. Returns whether it is."""
    now = clock.now()
    present = deployment.wanted_replicas
    needed = max(needed_replicas(deployment, load, now), 1 if woken else 0)
    since = deployment.scaled_at or deployment.status_since
    if 0 < needed < present:
        # One quiet moment does not say how many are needed: the most of the whole calm while does.
        needed = max(needed, note_need(deployment.pk, needed))
        if now - since < SCALE_DOWN_AFTER:
            return False
    rows = Deployment.objects.filter(pk=deployment.pk, wanted_replicas=present, status__in=SERVING_STATUSES)
    if needed == present:
        needed_until = now if load.in_flight else load.last_request
        # Of more than one replica the last request does not say whether all were needed.
        if needed_until and needed_until - since > NOTED_EACH and (load.in_flight or present == 1):
            rows.update(scaled_at=needed_until)
        return False
    changed = bool(rows.update(wanted_replicas=needed, scaled_at=now, next_check_at=now))
    if changed:
        send_wakeup(deployment.pk)
    return changed


def note_need(pk: UUID, needed: int) -> int:
    """Keep how many replicas were needed while more were there; returns the most of the calm while."""
    key = f"sw:need:{pk}"
    try:
        kept: Any = valkey().get(key)
        most = int(kept or 0)
        if needed > most:
            valkey().set(key, needed, ex=SCALE_DOWN_AFTER)
    except redis.RedisError as error:
        logger.info("need of %s not noted: %s", pk, error)
        return needed
    return max(most, needed)


def needed_replicas(deployment: Deployment, load: Load, now: datetime) -> int:
    """Return how many replicas the load needs, within the limits; 0 once nobody has called for the idle time."""
    if deployment.may_sleep and load.in_flight == 0:
        moments = [load.last_request, deployment.scaled_at, deployment.status_since]
        last = max(moment for moment in moments if moment is not None)
        if deployment.wanted_replicas == 0 or now - last >= timedelta(seconds=deployment.idle_seconds):
            return 0
    workers: int = getattr(deployment, "workers", None) or 0
    serving: int = getattr(deployment, "serving", None) or 0
    each = max(1, workers // max(1, serving))
    # While the first replica starts, its workers are not known: more are not asked for until they are.
    wanted = math.ceil(load.in_flight / each) if workers else 1
    return min(max(wanted, deployment.min_replicas, 1), deployment.max_replicas)
