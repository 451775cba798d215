"""Taking what is due: a turn is some deliveries of one webhook that one worker has for a while.

The lease of a turn is in its deliveries: until it ends they are not due for others. A worker that dies lets go by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Case, Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from controlplane.common import clock
from controlplane.webhooks.models import Delivery, Webhook

# Longer than a turn takes: it begins no delivery after TURN_SECONDS, and one takes ten seconds at most.
LEASE = timedelta(seconds=45)
TURN_SECONDS = 5.0
TURN = 20
# Turns at the same time for one webhook, over all workers.
QUICK_TURNS, SLOW_TURNS = 4, 1
SLOW = Q(failures__gt=0) | Q(slow=True)


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
    """Take up to so many turns of quick and of slow webhooks; those that other workers look at just now are passed over."""
    now = clock.now()
    wanted = [(condition, places) for condition, places in ((~SLOW, quick), (SLOW, slow)) if places > 0]
    # Most looks end here: one query without locks, whatever waits for later.
    waiting = list(with_something_due(now).values_list("pk", flat=True)) if wanted else []
    if not waiting:
        return []
    with transaction.atomic():
        rows = [webhook for condition, places in wanted for webhook in candidates(condition & Q(pk__in=waiting), now)[:places]]
        return [turn for webhook in rows if (turn := take(webhook, now))]


def with_something_due(now: datetime) -> QuerySet[Any]:
    """Return active webhooks that something is due for and that are not being left alone."""
    due = Delivery.objects.filter(webhook=OuterRef("pk")).due(now)
    rows: QuerySet[Any] = Webhook.objects.filter(Q(hold_until=None) | Q(hold_until__lte=now), Exists(due), active=True)
    return rows


def candidates(condition: Q, now: datetime) -> QuerySet[Any]:
    """Return webhooks with something due, locked: first those that fail least, of these the one that waited longest."""
    turns = (
        Delivery.objects.filter(webhook=OuterRef("pk"))
        .under_way(now)
        .values("webhook")
        .annotate(turns=Count("lease_token", distinct=True))
        .values("turns")
    )
    found: QuerySet[Any] = (
        with_something_due(now)
        .select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(condition)
        .annotate(turns=Coalesce(Subquery(turns, output_field=IntegerField()), 0), most=most_turns())
        .filter(turns__lt=F("most"))
        .order_by("failures", F("last_turn_at").asc(nulls_first=True))
    )
    return found


def most_turns() -> Case:
    """Return how many turns a webhook may have at a time."""
    return Case(When(SLOW, then=Value(SLOW_TURNS)), default=Value(QUICK_TURNS), output_field=IntegerField())


def take(webhook: Webhook, now: datetime) -> Turn | None:
    """Take one turn of a webhook whose row is locked."""
    own = Delivery.objects.filter(webhook=webhook)
    # Counted again under the lock: what was counted before may be from before another worker's commit.
    if own.under_way(now).values("lease_token").distinct().count() >= (SLOW_TURNS if webhook.slow or webhook.failures else QUICK_TURNS):
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
