"""Keeping the outbox small."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet

from controlplane.common import clock
from controlplane.webhooks import backlog
from controlplane.webhooks.delivery import disable
from controlplane.webhooks.models import Delivery, DeliveryState, Webhook

KEPT = {DeliveryState.DELIVERED: timedelta(days=7), DeliveryState.DEAD: timedelta(days=30)}
BATCH = 5000
# Of one webhook; older ones go before their time.
MOST_DEAD = 50_000


def prune() -> int:
    """Delete what has been kept long enough and what belongs to no webhook any more, in batches; stop webhooks that are hopelessly behind.

    Returns how many deliveries were deleted.
    """
    now = clock.now()
    stop_overflowing()
    ended = [Delivery.objects.filter(state=state, ended_at__lt=now - kept) for state, kept in KEPT.items()]
    orphans = Delivery.objects.filter(~Exists(Webhook.objects.filter(pk=OuterRef("webhook_id"))))
    left = Delivery.objects.filter(webhook__active=False, state=DeliveryState.PENDING, created_at__lt=now - KEPT[DeliveryState.DEAD])
    return delete_overflow() + sum(delete_in_batches(rows) for rows in (*ended, orphans, left))


def delete_in_batches(rows: QuerySet[Any]) -> int:
    """Delete rows, some at a time, each time in a transaction of its own."""
    total = 0
    while keys := list(rows.order_by().values_list("pk", flat=True)[:BATCH]):
        Delivery.objects.filter(pk__in=keys).delete()
        total += len(keys)
    return total


def delete_overflow() -> int:
    """Delete the oldest dead deliveries of webhooks that have too many; return how many."""
    dead = Delivery.objects.filter(state=DeliveryState.DEAD, ended_at__isnull=False)
    many = dead.order_by().values("webhook_id").annotate(count=Count("pk")).filter(count__gt=MOST_DEAD)
    total = 0
    for pk in many.values_list("webhook_id", flat=True):
        own = dead.filter(webhook_id=pk)
        newest_too_many = own.order_by("-sequence").values_list("sequence", flat=True)[MOST_DEAD]
        total += delete_in_batches(own.filter(sequence__lte=newest_too_many))
    return total


def stop_overflowing() -> None:
    """Disable the webhooks that are behind in projects with more waiting than may be."""
    now = clock.now()
    waiting = Delivery.objects.filter(state=DeliveryState.PENDING).order_by().values("webhook__project").annotate(count=Count("pk"))
    for project_id in waiting.filter(count__gte=backlog.MOST_WAITING).values_list("webhook__project", flat=True):
        for pk in backlog.behind(project_id):
            with transaction.atomic():
                rows = Webhook.objects.select_for_update(no_key=True, of=("self",)).select_related("project__namespace__parent")
                webhook = rows.filter(pk=pk, active=True).first()
                if webhook is not None:
                    disable(webhook, backlog.reason(), now)
