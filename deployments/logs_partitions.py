"""The days of the log: a partition each, made a week ahead, dropped when its lines are too old."""

from __future__ import annotations

from datetime import UTC, timedelta

from django.conf import settings

from controlplane.common import clock
from controlplane.common.clock import milliseconds
from deployments.partitions import Partitions

DAY = timedelta(days=1)
DAYS_AHEAD = 7
LOG = Partitions(
    table="deployments_log",
    column='"timestamp"',
    stamp="d%Y%m%d",
    key=lambda moment: str(milliseconds(moment)),
    following=lambda day: day + DAY,
    keeper=0x5117_10C5,
)


def keep_log_partitions() -> tuple[int, int]:
    """Make the partitions of yesterday to a week from now, and drop those whose lines are all too old; return how many of each."""
    today = clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    wanted = [today + offset * DAY for offset in range(-1, DAYS_AHEAD + 1)]
    oldest = clock.now() - timedelta(days=settings.LOG_RETENTION_DAYS)
    made, dropped = LOG.make_missing(wanted), LOG.drop_until(oldest)
    LOG.prune_default(oldest)
    return made, dropped
