"""The months of the runs: a partition each, by the time in a run's id, made two months ahead; dropped only if the operator says after how long.

What was there when an installation began with months lies in a partition of its own, up to the month that came next. Which runs are gone is read
from the partitions themselves: those from before the first one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection

from controlplane.common import clock
from controlplane.common.clock import milliseconds
from controlplane.common.ids import uuid7_milliseconds
from deployments.partitions import Partitions

MONTHS_AHEAD = 2
# A run's time is that of its start; it is counted on the day of its end.
LONGEST_RUN = timedelta(days=7)
FORMER = "deployments_usageevent_before"
END_OF_FORMER = (
    "SELECT substring(pg_get_expr(relpartbound, oid) FROM 'TO \\(''(.*)''\\)') FROM pg_class WHERE relname = %s AND relispartition"
)


def next_month(begin: datetime) -> datetime:
    """Return when the month after one begins."""
    return begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)


def first_run(moment: datetime) -> str:
    """Return the least id (UUIDv7, as text) of a run that began at a moment or later."""
    digits = f"{milliseconds(moment):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


RUNS = Partitions(
    table="deployments_usageevent",
    column="run",
    stamp="m%Y%m",
    key=lambda moment: f"'{first_run(moment)}'",
    following=next_month,
    keeper=0x5117_05A6,
)


def keep_usage_partitions() -> tuple[int, int]:
    """Make the partitions of this month and the two that follow, and drop those whose runs are all too old; return how many of each."""
    wanted = [clock.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)]
    for _ in range(MONTHS_AHEAD):
        wanted.append(next_month(wanted[-1]))
    former = end_of_former()
    made = RUNS.make_missing(month for month in wanted if former is None or month >= former)
    days = settings.USAGE_RETENTION_DAYS
    return made, drop_old(clock.now() - timedelta(days=days)) if days else 0


def drop_old(oldest: datetime) -> int:
    """Drop what is older than a moment, the oldest first, so that what is left is all from a moment on; return how many partitions."""
    dropped, former = 0, end_of_former()
    if former is not None:
        if former > oldest or not RUNS.attempt(drop_former, former):
            return 0
        dropped = 1
    dropped += RUNS.drop_until(oldest)
    gone = gone_before()
    if gone is not None:
        RUNS.prune_default(min(gone, oldest))
    return dropped


def drop_former(_: datetime) -> None:
    """Drop what was there before there were months, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {FORMER}")


def end_of_former() -> datetime | None:
    """Return the moment from which on there are months; None when what was before is gone."""
    with connection.cursor() as cursor:
        cursor.execute(END_OF_FORMER, [FORMER])
        found = cursor.fetchone()
    return datetime.fromtimestamp(uuid7_milliseconds(UUID(found[0])) / 1000, UTC) if found else None


def gone_before() -> datetime | None:
    """Return the moment before which runs are gone, whatever the setting was or is; None while all are kept."""
    if FORMER in RUNS.names():
        return None
    return next(iter(RUNS.present()), None)


def oldest_run() -> str:
    """Return the least id of a run that can be counted: whether one before it was counted is not known any more. "" while all are kept."""
    gone = gone_before()
    return first_run(gone) if gone else ""


def first_whole_day() -> datetime | None:
    """Return the first day of which all runs are kept; None while all days are."""
    gone = gone_before()
    return gone + LONGEST_RUN if gone else None
