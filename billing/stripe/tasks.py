"""Tasks of payments."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import InterfaceError, OperationalError

from billing.stripe.events import act_on_events
from billing.stripe.reconcile import reconcile

logger = logging.getLogger(__name__)


@shared_task(name="billing.stripe.act_on_events")
def act_on_events_task() -> None:
    """Soon after an event, and each minute for those that failed or whose worker died."""
    try:
        act_on_events()
    except (InterfaceError, OperationalError) as error:
        logger.warning("stripe events wait for the next look: %s", error)


@shared_task(name="billing.stripe.reconcile")
def reconcile_task() -> None:
    """Each day: repair what lost webhooks left."""
    reconcile()
