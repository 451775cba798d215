"""Keeping the outbox small."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet

from controlplane.common import clock
from controlplane.webhooks.delivery import disable
from controlplane.webhooks.models import Delivery, DeliveryState, Webhook

KEPT = {DeliveryState.DELIVERED: timedelta(days=7), DeliveryState.DEAD: timedelta(days=30)}
BATCH = 5000
# A receiver that takes less than is sent to it ends here, before it fills the database.
MOST_WAITING = 200_000
BACKLOG_REASON = f"More than {MOST_WAITING} deliveries were waiting: the receiver takes less than is sent to it."


def prune() -> int:
    """Delete what has been kept long enough and what belongs to no webhook any more, in batches; stop webhooks that are hopelessly behind.

    Returns how many deliveries were deleted.
    """
    now = clock.now()
    stop_overflowing(now)
    ended = [Delivery.objects.filter(state=state, ended_at__lt=now - kept) for state, kept in KEPT.items()]
    orphans = Delivery.objects.filter(~Exists(Webhook.objects.filter(pk=OuterRef("webhook_id"))))
    left = Delivery.objects.filter(webhook__active=False, state=DeliveryState.PENDING, created_at__lt=now - KEPT[DeliveryState.DEAD])
    return sum(delete_in_batches(rows) for rows in (*ended, orphans, left))


def delete_in_batches(rows: QuerySet[Any]) -> int:
    """Delete rows, some at a time, each time in a transaction of its own."""
    total = 0
    while keys := list(rows.order_by().values_list("pk", flat=True)[:BATCH]):
        Delivery.objects.filter(pk__in=keys).delete()
        total += len(keys)
    return total


def stop_overflowing(now: datetime) -> None:
    """Disable webhooks with more waiting for them than will ever be sent."""
    waiting = Delivery.objects.filter(state=DeliveryState.PENDING).order_by().values("webhook_id").annotate(waiting=Count("pk"))
    for pk in waiting.filter(waiting__gt=MOST_WAITING).values_list("webhook_id", flat=True):
        with transaction.atomic():
            rows = Webhook.objects.select_for_update(no_key=True, of=("self",)).select_related("project__namespace__parent")
            webhook = rows.filter(pk=pk, active=True).first()
            if webhook is not None:
                disable(webhook, BACKLOG_REASON, now)
