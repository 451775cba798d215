"""Tasks of the plumbing."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import InterfaceError, OperationalError

from controlplane.api.idempotency.claims import sweep_keys

logger = logging.getLogger(__name__)


@shared_task(name="api.sweep_idempotency_keys")
def sweep_idempotency_keys_task() -> None:
    """Every ten minutes: delete keys whose day is over."""
    try:
        if gone := sweep_keys():
            logger.info("deleted %d idempotency keys whose day is over", gone)
    except (InterfaceError, OperationalError) as error:
        logger.warning("idempotency keys not swept, next try in ten minutes: %s", error)
