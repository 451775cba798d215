"""The months of the runs: a partition each, by the time in a run's id, made two months ahead; dropped only if the operator says after how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.conf import settings

from controlplane.common import clock
from controlplane.common.clock import milliseconds
from deployments.partitions import Partitions

MONTHS_AHEAD = 2
# A run's time is that of its start; it is counted on the day of its end.
LONGEST_RUN = timedelta(days=7)


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
    return RUNS.keep(wanted, oldest=oldest_kept())


def oldest_kept() -> datetime | None:
    """Return the moment before which runs may be gone; None where they are kept for ever."""
    days = settings.USAGE_RETENTION_DAYS
    return clock.now() - timedelta(days=days) if days else None


def oldest_run() -> str:
    """Return the least id of a run that can be counted: whether one before it was counted is not known any more. "" where all are kept."""
    oldest = oldest_kept()
    return first_run(oldest) if oldest else ""


def first_whole_day() -> datetime | None:
    """Return the first day of which all runs are kept, as far as it depends on their age; None where they are kept for ever."""
    oldest = oldest_kept()
    if oldest is None:
        return None
    return (oldest + LONGEST_RUN).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
