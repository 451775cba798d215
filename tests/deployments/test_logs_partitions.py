"""The log's days: made ahead, dropped whole when they are old, and no line is refused for want of one."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from controlplane.common.clock import milliseconds
from deployments import logs_partitions, partitions
from deployments.logs_partitions import DAY, LOG, keep_log_partitions
from deployments.models import LogLine
from deployments.selectors_logs import LogRequest, matching
from tests.deployments.conftest import Clock

TODAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR_MS = 3_600_000
DEPLOYMENT, OTHER, RUN = UUID(int=1), UUID(int=2), UUID(int=3)


@pytest.fixture
def days(db: None, moving_clock: Clock) -> Clock:
    """The clock stands at 9:00 on the 2nd of March; what partitions the test makes go with its transaction."""
    return moving_clock


def add(moment: datetime, message: str = "a line", **more: Any) -> None:
    LogLine.objects.create(
        **{"deployment_id": DEPLOYMENT, "timestamp": milliseconds(moment), "level": "INFO", "source": "run", "message": message, **more}
    )


def lines_in(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608
        return int(cursor.fetchone()[0])


def test_a_week_is_made_ahead_and_a_second_look_changes_nothing(days: Clock) -> None:
    assert (keep_log_partitions(), keep_log_partitions()) == ((9, 0), (0, 0))

    assert LOG.present() == [TODAY + offset * DAY for offset in range(-1, 8)]


def test_each_new_day_has_its_partition_before_it_begins(days: Clock) -> None:
    keep_log_partitions()
    days.advance(24 * 3600)

    assert keep_log_partitions() == (1, 0)
    assert LOG.present()[-1] == TODAY + 8 * DAY


@pytest.mark.parametrize("age", [0, 3, 400, -400])
def test_a_line_of_a_day_without_a_partition_is_not_refused(days: Clock, age: int) -> None:
    add(TODAY - age * DAY)

    assert (LogLine.objects.count(), lines_in("deployments_log_default")) == (1, 1)


def test_lines_that_came_before_their_partition_move_into_it(days: Clock) -> None:
    for hours in (0, 23, 24):
        add(TODAY + timedelta(hours=hours), f"{hours}")

    keep_log_partitions()

    assert [lines_in(f"deployments_log_d202603{day:02}") for day in (1, 2, 3)] == [0, 2, 1]
    assert lines_in("deployments_log_default") == 0
    assert LogLine.objects.count() == 3


def test_a_day_goes_when_its_last_line_is_thirty_days_old(days: Clock) -> None:
    keep_log_partitions()
    add(TODAY + timedelta(hours=23), "kept to the last")
    days.now = TODAY + DAY + timedelta(days=30, seconds=-1)
    keep_log_partitions()
    assert LogLine.objects.count() == 1

    days.now += timedelta(seconds=1)

    assert keep_log_partitions()[1] == 1
    assert (LogLine.objects.count(), TODAY in LOG.present()) == (0, False)


def test_the_number_of_days_is_a_setting(days: Clock, settings: LazySettings) -> None:
    keep_log_partitions()
    add(TODAY)
    settings.LOG_RETENTION_DAYS = 2
    days.advance(3 * 24 * 3600)

    keep_log_partitions()

    assert LogLine.objects.count() == 0


def test_old_lines_that_never_had_a_partition_are_deleted_in_batches(days: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "BATCH", 2)
    for number in range(5):
        add(TODAY - 40 * DAY + timedelta(seconds=number))
    add(TODAY - 29 * DAY, "young enough")

    keep_log_partitions()

    assert list(LogLine.objects.values_list("message", flat=True)) == ["young enough"]


def test_a_log_that_is_in_use_is_left_for_the_next_time(
    transactional_db: None, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(logs_partitions, "DAYS_AHEAD", 0)
    moving_clock.now = datetime(2031, 5, 5, 9, tzinfo=UTC)
    writing, done = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            add(moving_clock.now)
            writing.set()
            done.wait(20)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    writing.wait(10)

    made_meanwhile = keep_log_partitions()
    done.set()
    writer.join(20)

    assert made_meanwhile == (0, 0)
    assert keep_log_partitions() == (2, 0)
    assert lines_in("deployments_log_d20310505") == 1
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE deployments_log_d20310504, deployments_log_d20310505")


def test_two_keepers_at_the_same_time_make_each_day_once(transactional_db: None, moving_clock: Clock) -> None:
    day = datetime(2032, 5, 5, tzinfo=UTC)
    results = []

    def keep() -> None:
        results.append(LOG.attempt(LOG.make, day))
        connection.close()

    keepers = [threading.Thread(target=keep) for _ in range(3)]
    for keeper in keepers:
        keeper.start()
    for keeper in keepers:
        keeper.join(20)

    assert results == [True, True, True]
    assert LOG.present() == [day]
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE deployments_log_d20320505")


def test_the_time_of_a_line_is_unique_in_a_deployment_across_all_days(days: Clock) -> None:
    keep_log_partitions()
    add(TODAY)

    with pytest.raises(Exception, match="duplicate key"), transaction.atomic():
        add(TODAY)


@pytest.fixture
def much(days: Clock) -> None:
    """Two deployments with 10,000 lines each in ten days; one line in a hundred is about a run, or from a build, or an error."""
    for offset in range(-9, 1):
        LOG.make(TODAY + offset * DAY)
    first = milliseconds(TODAY - 9 * DAY)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO {LOG.table} SELECT deployment, %s + n * 86400, CASE WHEN n %% 100 = 1 THEN 'ERROR' ELSE 'INFO' END,
                CASE WHEN n %% 100 = 2 THEN 'build' ELSE 'run' END, 'belt 4 runs', CASE WHEN n %% 100 = 3 THEN %s::uuid END, NULL
                FROM generate_series(0, 9999) AS n CROSS JOIN unnest(%s::uuid[]) AS deployments (deployment)""",  # noqa: S608
            [first, RUN, [DEPLOYMENT, OTHER]],
        )
        cursor.execute(f"ANALYZE {LOG.table}")


def plan(wanted: LogRequest, order: str) -> tuple[set[str], set[str], float]:
    """What a read touches: the days, the kinds of scans, and how many rows were looked at."""
    rows = matching(DEPLOYMENT, wanted).order_by(order)[: wanted.limit]
    (root,) = json.loads(rows.explain(format="json", analyze=True))
    days, kinds, looked_at = set(), set(), 0.0

    def walk(node: dict[str, Any]) -> None:
        nonlocal looked_at
        if "Relation Name" in node and node["Actual Loops"]:
            if node["Actual Rows"]:
                days.add(node["Relation Name"])
            kinds.add(node["Node Type"])
            looked_at += node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        for child in node.get("Plans", []):
            walk(child)

    walk(root["Plan"])
    return days, kinds, looked_at


def test_the_newest_lines_are_read_from_the_newest_days_by_the_key(much: None) -> None:
    days, kinds, looked_at = plan(LogRequest(limit=100), "-timestamp")

    assert kinds <= {"Index Scan", "Index Only Scan"}
    assert looked_at < 150
    assert "deployments_log_d20260302" in days


def test_lines_from_a_start_are_read_from_the_days_after_it_alone(much: None) -> None:
    start = milliseconds(TODAY - DAY) + HOUR_MS

    days, kinds, looked_at = plan(LogRequest(limit=100, start=start), "timestamp")

    assert days <= {"deployments_log_d20260301", "deployments_log_d20260302"}
    assert kinds <= {"Index Scan", "Index Only Scan"}
    assert looked_at < 150


@pytest.mark.parametrize(
    "wanted",
    [
        LogRequest(limit=20, level="ERROR"),
        LogRequest(limit=20, min_level="WARNING"),
        LogRequest(limit=20, min_level="ERROR"),
        LogRequest(limit=20, source="build"),
        LogRequest(limit=20, run=RUN),
    ],
    ids=["level", "at least WARNING", "at least ERROR", "source", "run"],
)
def test_a_filter_looks_at_the_lines_that_match_and_no_others(much: None, wanted: LogRequest) -> None:
    _, kinds, looked_at = plan(wanted, "-timestamp")

    assert "Seq Scan" not in kinds
    assert looked_at < 120
