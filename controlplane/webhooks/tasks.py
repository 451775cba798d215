"""Tasks: ask the sender, keep the outbox small."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down
from django.db import InterfaceError, OperationalError

from controlplane.webhooks.sender import sender
from controlplane.webhooks.upkeep import prune, stop_overflowing

logger = logging.getLogger(__name__)


@shared_task(name="webhooks.deliver_due")
def deliver_due_task() -> None:
    """Each second, and soon after an event: start what is due. Returns at once, whatever receivers do."""
    try:
        sender().fill()
    except (InterfaceError, OperationalError) as error:
        logger.warning("webhooks wait for the next look: %s", error)


@shared_task(name="webhooks.prune")
def prune_task() -> None:
    """Hourly: delete what was kept long enough."""
    prune()


@shared_task(name="webhooks.stop_overflowing")
def stop_overflowing_task() -> None:
    """When an event found no room: disable the webhooks that are behind."""
    stop_overflowing()


@worker_shutting_down.connect
def stop_sending(**_: Any) -> None:
    """Begin no further deliveries."""
    sender().stop()
