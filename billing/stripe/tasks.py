"""Tasks of payments."""

from __future__ import annotations

import logging
from uuid import UUID

from celery import shared_task
from django.db import InterfaceError, OperationalError

from billing.stripe.events import act_on_events
from billing.stripe.reconcile import reconcile
from controlplane.common.hints import send_task

logger = logging.getLogger(__name__)

MOST_BATCHES = 20


@shared_task(name="billing.stripe.act_on_events")
def act_on_events_task() -> None:
    """Soon after an event, and each minute for those that failed or whose worker died."""
    try:
        for _ in range(MOST_BATCHES):
            if not act_on_events():
                break
    except (InterfaceError, OperationalError) as error:
        logger.warning("stripe events wait for the next look: %s", error)


@shared_task(name="billing.stripe.reconcile")
def reconcile_task(begin: str | None = None) -> None:
    """Each day: repair what lost webhooks left; what takes too long goes on in another task."""
    found = reconcile(begin=UUID(begin) if begin else None)
    if found.next_wallet:
        send_task("billing.stripe.reconcile", args=[str(found.next_wallet)])
