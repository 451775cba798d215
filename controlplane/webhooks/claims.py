"""Taking what is due: a turn is some deliveries of one webhook that one worker has for a while.

The lease of a turn is in its deliveries: until it ends they are not due for others. A worker that dies lets go by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When

from controlplane.common import clock
from controlplane.webhooks.models import Delivery, Webhook

# Longer than a turn takes: it begins no delivery after TURN_SECONDS, and one takes ten seconds at most.
LEASE = timedelta(seconds=45)
TURN_SECONDS = 5.0
TURN = 20
# Turns at the same time for one webhook, over all workers.
QUICK_TURNS, SLOW_TURNS = 4, 1
# The same for all webhooks of a project: fewer than a worker has places, so that no project has them to itself.
PROJECT_QUICK_TURNS, PROJECT_SLOW_TURNS = 4, 2
SLOW = Q(failures__gt=0) | Q(slow=True)
SLOW_RECEIVER = Q(webhook__failures__gt=0) | Q(webhook__slow=True)


@dataclass(frozen=True, slots=True)
class Turn:
    """The right to send these deliveries of one webhook, in this order."""

    webhook: Webhook
    token: UUID
    deliveries: list[Delivery]

    @property
    def slow(self) -> bool:
        """Tell whether it belongs beside the failing and the slow."""
        return self.webhook.slow or self.webhook.failures > 0


def claim_turns(*, quick: int, slow: int) -> list[Turn]:
    """Take up to so many turns of quick and of slow webhooks, first of those that waited longest.

    What other workers look at just now is passed over, and so is a project with all the turns that one may have.
    """
    now = clock.now()
    free = {False: quick, True: slow}
    # Most looks end here: one query without locks, whatever waits for later.
    waiting = list(longest_waiting(now)) if max(free.values()) > 0 else []
    if not waiting:
        return []
    turns: list[Turn] = []
    passed_over: set[tuple[UUID, bool]] = set()
    with transaction.atomic():
        for pk, project_id, lane in waiting:
            if free[lane] < 1 or (project_id, lane) in passed_over:
                continue
            if not has_room(project_id, lane, now):
                passed_over.add((project_id, lane))
            elif turn := take(pk, lane, now):
                turns.append(turn)
                free[lane] -= 1
    return turns


def longest_waiting(now: datetime) -> QuerySet[Any, tuple[UUID, UUID, bool]]:
    """Return (webhook, project, whether it is slow) of active webhooks that something is due for and that are not being left alone.

    In the order of their last turns: whoever fails waits no longer than who does not, so that nobody's events push another's back for good.
    """
    due = Delivery.objects.filter(webhook=OuterRef("pk")).due(now)
    rows = Webhook.objects.filter(Q(hold_until=None) | Q(hold_until__lte=now), Exists(due), active=True).annotate(
        lane=Case(When(SLOW, then=True), default=False)
    )
    found: QuerySet[Any, tuple[UUID, UUID, bool]] = rows.order_by(F("last_turn_at").asc(nulls_first=True)).values_list(
        "pk", "project_id", "lane"
    )
    return found


def has_room(project_id: UUID, lane: bool, now: datetime) -> bool:
    """Tell whether a project may have one more turn of this kind; False as well while another worker looks at the project.

    Workers look at a project one after the other, until the end of their transactions: two of them cannot count the same room twice.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"webhooks of {project_id}"])
        if not cursor.fetchone()[0]:
            return False
    held = Delivery.objects.under_way(now).filter(SLOW_RECEIVER if lane else ~SLOW_RECEIVER, webhook__project=project_id)
    count: int = held.values("lease_token").distinct().count()
    return count < (PROJECT_SLOW_TURNS if lane else PROJECT_QUICK_TURNS)


def take(pk: UUID, lane: bool, now: datetime) -> Turn | None:
    """Take one turn of a webhook that is still in this lane, unless somebody has its row or it has its turns."""
    rows = Webhook.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
    webhook = rows.filter(SLOW if lane else ~SLOW, pk=pk, active=True).first()
    if webhook is None:
        return None
    own = Delivery.objects.filter(webhook=webhook)
    if own.under_way(now).values("lease_token").distinct().count() >= (SLOW_TURNS if lane else QUICK_TURNS):
        return None
    due = own.due(now).select_for_update(skip_locked=True, no_key=True).order_by("next_attempt_at", "sequence")
    deliveries = list(due[:TURN])
    if not deliveries:
        return None
    token = uuid4()
    Delivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries]).update(lease_token=token, next_attempt_at=now + LEASE)
    Webhook.objects.filter(pk=webhook.pk).update(last_turn_at=now)
    return Turn(webhook, token, deliveries)


def give_back(turn: Turn) -> None:
    """Let others take what is left of a turn, at once."""
    Delivery.objects.filter(webhook=turn.webhook, lease_token=turn.token, state="PENDING").update(
        lease_token=None, next_attempt_at=clock.now()
    )
