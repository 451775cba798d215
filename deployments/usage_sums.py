"""The sums of usage: written with the runs, in one statement, so that they can never tell anything else than the runs do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import TruncDay

from controlplane.common.arrays import array_text
from deployments.models import UsageBucket, UsageEvent, UsageGrain
from deployments.reports import Report, report_of
from deployments.usage_partitions import first_whole_day

DAY = timedelta(days=1)
EVENTS, BUCKETS = "deployments_usageevent", "deployments_usagebucket"
# As Report has them: what they are called in the table, and how they arrive.
COLUMNS = {
    "run": "uuid",
    "deployment_id": "uuid",
    "workflow_id": "uuid",
    "project_id": "uuid",
    "namespace_id": "uuid",
    "product": "text",
    "state": "text",
    "duration_ms": "bigint",
    "ended_at": "bigint",
    "micro_credits": "bigint",
    "revision": "integer",
    "fault": "boolean",
}
GIVEN = ", ".join("to_timestamp(ended_at / 1000.0)" if name == "ended_at" else name for name in COLUMNS)
KEY = "deployment_id, grain, start, product, project_id, namespace_id"
GRAINS = ", ".join(f"('{grain}')" for grain in UsageGrain.values)
# Grouped and sorted before the first row is written: whoever writes the same sums at the same time takes their locks in the same order, and has
# its runs already.
SUMS = f"""
    SELECT deployment_id, grain, date_trunc(grain, minute, 'UTC'), product, project_id, namespace_id,
           sum(hits), sum(failures), sum(duration_ms), sum(micro_credits)
    FROM {{source}} CROSS JOIN (VALUES {GRAINS}) AS grains (grain)
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6"""  # noqa: S608
MINUTES = """
    SELECT deployment_id, product, project_id, namespace_id, date_trunc('minute', ended_at, 'UTC') AS minute, {single} AS single,
           count(*) AS hits, count(*) FILTER (WHERE state <> 'SUCCESS') AS failures, sum(duration_ms)::bigint AS duration_ms,
           sum(micro_credits)::bigint AS micro_credits, min(run::text) AS first
    FROM {source} GROUP BY 1, 2, 3, 4, 5, 6"""
INTO_BUCKETS = f"INSERT INTO {BUCKETS} ({KEY}, hits, failures, duration_ms, micro_credits)"
# Many rows come faster by COPY; for few the table would cost more than it saves.
COPIED_FROM = 300
COLUMN_LIST = ", ".join(COLUMNS)
GIVEN_TABLE = f"CREATE TEMPORARY TABLE IF NOT EXISTS usage_given ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())}) ON COMMIT DELETE ROWS"
AS_ARRAYS = f"unnest({', '.join(f'%({name})s::{kind}[]' for name, kind in COLUMNS.items())}) AS given ({COLUMN_LIST})"
# Runs, their sums by minute, and these added to the sums that are kept: parts of a WITH query.
WRITING = f"""
    fresh AS (
        INSERT INTO {EVENTS} ({", ".join(COLUMNS)})
        SELECT {GIVEN} FROM {{given}}
        ON CONFLICT (run) DO NOTHING
        RETURNING run, deployment_id, product, project_id, namespace_id, state, duration_ms, ended_at, micro_credits
    ), minutes AS MATERIALIZED (
        {MINUTES.format(source="fresh", single="CASE WHEN deployment_id = ANY(%(one_by_one)s::uuid[]) THEN run END")}
    ), sums AS (
        {INTO_BUCKETS} {SUMS.format(source="minutes")}
        ON CONFLICT ({KEY}) DO UPDATE SET
            hits = {BUCKETS}.hits + excluded.hits,
            failures = {BUCKETS}.failures + excluded.failures,
            duration_ms = {BUCKETS}.duration_ms + excluded.duration_ms,
            micro_credits = {BUCKETS}.micro_credits + excluded.micro_credits
    )"""  # noqa: S608
NEW_RUNS = "SELECT deployment_id, product, minute, hits, duration_ms, micro_credits, first FROM minutes"
OF_DAY = "({table}.{column} >= %(first)s AND {table}.{column} < %(end)s AND (%(deployment)s::uuid IS NULL OR {table}.deployment_id = %(deployment)s))"


@dataclass(frozen=True, slots=True)
class NewRuns:
    """Runs of a deployment that ended in a minute and were not known before; `first` is the smallest of their ids."""

    deployment_id: UUID
    product: str
    minute: datetime
    runs: int
    duration_ms: int
    micro_credits: int
    first: str


def insert_events(events: Sequence[Report | UsageEvent], *, one_by_one: Iterable[UUID | str] = ()) -> list[NewRuns]:
    """Insert runs and add them to their sums; return those that were new, by deployment and minute (of deployments in `one_by_one`, each run).

    A run that is there already changes nothing, whoever reports it again.
    """
    if not events:
        return []
    writing, given = writing_of(events, one_by_one=one_by_one)
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {writing} {NEW_RUNS}", given)
        return [NewRuns(*row) for row in cursor.fetchall()]


def writing_of(events: Sequence[Report | UsageEvent], *, one_by_one: Iterable[UUID | str] = ()) -> tuple[str, dict[str, Any]]:
    """Return the parts of a WITH query that write these runs and their sums, `fresh` and `minutes` among them, with its values.

    Execute it in the transaction that called this, before it is called again.
    """
    reports = sorted(event if isinstance(event, Report) else report_of(event) for event in events)
    given = {"one_by_one": array_text(one_by_one)}
    if len(reports) >= COPIED_FROM:
        copy_given(reports)
        return WRITING.format(given="usage_given ORDER BY run"), given
    return WRITING.format(given=AS_ARRAYS), given | {
        name: array_text(values) for name, values in zip(COLUMNS, zip(*reports, strict=True), strict=True)
    }


def copy_given(reports: Sequence[Report]) -> None:
    """Put reports into a table of this session. What is in them was checked: no text holds what COPY reads as something else."""
    lines = ["\t".join(map(str, one)) for one in reports]
    text = "\n".join(lines).replace("\tNone\t", "\t\\N\t")
    with connection.cursor() as cursor:
        cursor.execute(GIVEN_TABLE)
        # Within a transaction that goes on, what the last batch left is still there.
        cursor.execute("DELETE FROM usage_given")
        with cursor.copy(f"COPY usage_given ({COLUMN_LIST}) FROM STDIN") as copy:
            copy.write(text + "\n")


def rebuild_sums(
    *, since: datetime | None = None, until: datetime | None = None, deployment_id: UUID | None = None
) -> Iterator[tuple[datetime, int]]:
    """Write the sums anew from the runs, day by day; yields each day with its number of sums.

    For repairs: after events were written or removed by hand. Each day is one transaction, in which nobody else writes sums (they wait).
    """
    for first in days(since, until, deployment_id):
        yield first, rebuild_day(first, deployment_id)


def rebuild_day(first: datetime, deployment_id: UUID | None = None) -> int:
    """Write the sums of the day that begins at `first` anew, of one deployment or of all; return how many there are."""
    values = {"first": first, "end": first + DAY, "deployment": deployment_id}
    events = f"(SELECT * FROM {EVENTS} WHERE {OF_DAY.format(table=EVENTS, column='ended_at')}) AS events"  # noqa: S608
    of_day = f"({MINUTES.format(source=events, single='NULL')}) AS of_day"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {BUCKETS} IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(f"DELETE FROM {BUCKETS} WHERE {OF_DAY.format(table=BUCKETS, column='start')}", values)  # noqa: S608
        cursor.execute(f"{INTO_BUCKETS} {SUMS.format(source=of_day)}", values)
        return int(cursor.rowcount)


def days(since: datetime | None, until: datetime | None, deployment_id: UUID | None) -> list[datetime]:
    """Return the days (UTC) from `since` to `until` that have runs or sums, the first ones first; without limits, all of them.

    Days whose runs may be gone are left out: their sums are all that tells of them.
    """
    since = max(filter(None, (since, first_whole_day())), default=None)
    found: set[datetime] = set()
    for model, column in ((UsageEvent, "ended_at"), (UsageBucket, "start")):
        rows: Any = model.objects.filter(deployment_id=deployment_id) if deployment_id else model.objects.all()
        found.update(rows.annotate(day=TruncDay(column, tzinfo=UTC)).values_list("day", flat=True).distinct())
    return sorted(day for day in found if (since is None or day + DAY > since) and (until is None or day <= until))
