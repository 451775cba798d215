"""The days of the log: a partition each, made ahead, dropped when its lines are too old.

A line whose day has no partition lies in the default one, so that none is ever refused; when the day's partition is made, it moves there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import OperationalError, connection, transaction

from controlplane.common import clock
from controlplane.common.clock import milliseconds

logger = logging.getLogger(__name__)

TABLE = "deployments_log"
DEFAULT = "deployments_log_default"
PREFIX = "deployments_log_d"
DAY = timedelta(days=1)
DAYS_AHEAD = 7
# Whoever waits for the log waits for us, too: rather try again in five minutes.
LOCK_SECONDS = 3
BATCH = 10_000
# One keeper at a time, by this number of an advisory lock.
KEEPER = 0x5117_10C5


def keep_partitions() -> tuple[int, int]:
    """Make the partitions of yesterday to a week from now, and drop those whose lines are all too old; return how many of each.

    A partition that is locked for longer than 3 seconds is left for the next time.
    """
    today = clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    present = partitions()
    wanted = [today + offset * DAY for offset in range(-1, DAYS_AHEAD + 1)]
    oldest = clock.now() - timedelta(days=settings.LOG_RETENTION_DAYS)
    made = sum(attempt(make_partition, day) for day in wanted if day not in present)
    dropped = sum(attempt(drop_partition, day) for day in present if day + DAY <= oldest)
    prune_default(oldest)
    return made, dropped


def attempt(change: Callable[[datetime], None], day: datetime) -> bool:
    """Change one partition in a transaction of its own; False when the table is in use for too long."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [KEEPER])
            change(day)
    except OperationalError as error:
        logger.warning("log partition of %s is left for the next time: %s", day.date(), error)
        return False
    return True


def make_partition(day: datetime) -> None:
    """Make a day's partition, with the lines of that day which came before it, in the caller's transaction."""
    if day in partitions():
        return
    name, first, end = f"{PREFIX}{day:%Y%m%d}", milliseconds(day), milliseconds(day + DAY)
    of_day = f'"timestamp" >= {first} AND "timestamp" < {end}'
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {DEFAULT} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL, CONSTRAINT of_day CHECK ({of_day}))")
        moved = f"WITH moved AS (DELETE FROM {DEFAULT} WHERE {of_day} RETURNING *) INSERT INTO {name} SELECT * FROM moved"  # noqa: S608
        cursor.execute(moved)
        # Attached, not made as a partition: who reads and writes the other days need not wait.
        cursor.execute(f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end})")
        cursor.execute(f"ALTER TABLE {name} DROP CONSTRAINT of_day")


def drop_partition(day: datetime) -> None:
    """Drop a day with its lines, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {PREFIX}{day:%Y%m%d}")


def prune_default(oldest: datetime) -> None:
    """Delete too old lines of days that never had a partition, in batches; usually there are none."""
    batch = f'DELETE FROM {DEFAULT} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {DEFAULT} WHERE "timestamp" < %s LIMIT {BATCH}))'  # noqa: S608
    deleted = BATCH
    while deleted == BATCH:
        with connection.cursor() as cursor:
            cursor.execute(batch, [milliseconds(oldest)])
            deleted = cursor.rowcount


def partitions() -> list[datetime]:
    """Return the days that have a partition, the oldest first."""
    query = "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = %s::regclass"
    with connection.cursor() as cursor:
        cursor.execute(query, [TABLE])
        names = [name for (name,) in cursor.fetchall() if name != DEFAULT]
    return sorted(datetime.strptime(name.removeprefix(PREFIX), "%Y%m%d").replace(tzinfo=UTC) for name in names)
