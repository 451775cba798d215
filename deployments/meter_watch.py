"""Whether somebody charges: what waits for a meter for too long is told to the operators."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from django.conf import settings

from billing.metering import metered_since
from controlplane.common import clock
from controlplane.common.valkey import valkey
from deployments.alerts import clear_alert, raise_alert
from deployments.models import AlertKind
from deployments.usage_stream import STREAM

logger = logging.getLogger(__name__)

SILENT_AFTER = timedelta(minutes=5)


def watch_meters() -> bool:
    """Alert while runs or instances wait to be charged for more than five minutes; returns whether they do."""
    now = clock.now()
    waiting = [*runs_waiting(), *instances_waiting()]
    since = min(waiting, default=now)
    if now - since <= SILENT_AFTER:
        clear_alert(AlertKind.METER_SILENT, STREAM)
        return False
    detail = (
        f"What was used since {since:%Y-%m-%d %H:%M} UTC is not charged yet: no meter works, or it cannot keep up. Nothing is lost. "
        "Start a meter (`manage.py meter`), or look into its log."
    )
    raise_alert(AlertKind.METER_SILENT, STREAM, detail=detail)
    return True


def runs_waiting() -> list[datetime]:
    """Return when the oldest run that is not charged was reported."""
    try:
        found: Any = valkey().xrange(STREAM, count=1)
    except redis.RedisError as error:
        logger.info("usage not looked at: %s", error)
        return []
    return [datetime.fromtimestamp(int(key.decode().partition("-")[0]) / 1000, UTC) for key, _ in found or []]


def instances_waiting() -> list[datetime]:
    """Return since when the instance that waits longest is not charged, beyond the usual interval."""
    since = metered_since()
    return [since + timedelta(seconds=settings.METERING_SECONDS)] if since else []
