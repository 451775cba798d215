"""Tasks of accounts."""

from __future__ import annotations

import logging

import redis
from celery import shared_task
from django.db import InterfaceError, OperationalError

from controlplane.accounts.revocations import restore_set

logger = logging.getLogger(__name__)


@shared_task(name="accounts.restore_revocations")
def restore_revocations_task() -> None:
    """Every two seconds: let gateways know all revocations, also after Valkey lost its data."""
    try:
        if added := restore_set():
            logger.info("published %d revocations that Valkey did not have", added)
    except (redis.RedisError, InterfaceError, OperationalError) as error:
        logger.warning("revocations not restored, next try in two seconds: %s", error)
