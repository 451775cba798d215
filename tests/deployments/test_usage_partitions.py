"""The months of the runs: made ahead, dropped only when an operator says so, and no run counted twice for it."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django import Settings

from billing.models import LedgerEntry
from controlplane.accounts.models import User
from controlplane.common.clock import milliseconds
from controlplane.common.ids import uuid7
from deployments.models import Alert, Deployment, UsageBucket, UsageEvent
from deployments.usage_partitions import FORMER, RUNS, end_of_former, first_run, keep_usage_partitions, next_month
from deployments.usage_sums import rebuild_sums
from tests.deployments.builders import deploy
from tests.deployments.conftest import Clock
from tests.deployments.consuming import consume_usage
from tests.deployments.test_usage import report
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]
# Long after the time up to which a test database, made now, has no months.
MARCH, APRIL = datetime(2061, 3, 1, tzinfo=UTC), datetime(2061, 4, 1, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
PRICE = 12 * 829
pytestmark = pytest.mark.django_db


@pytest.fixture
def in_march(moving_clock: Clock) -> Clock:
    moving_clock.now = MARCH + timedelta(days=1, hours=9)
    return moving_clock


def run_at(moment: datetime) -> str:
    """Return the id of a run that began at a moment."""
    return str(uuid7(now_ms=milliseconds(moment)))


def rows_in(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608
        return int(cursor.fetchone()[0])


def add(began: datetime) -> UUID:
    """Write a run that took a second."""
    run = UUID(run_at(began))
    ids: Any = dict.fromkeys(("deployment_id", "workflow_id", "project_id", "namespace_id"), UUID(int=1))
    more: Any = {"product": "AWS SERVERLESS S", "state": "SUCCESS", "duration_ms": 1000, "micro_credits": 829_000}
    UsageEvent.objects.create(run=run, ended_at=began + SECOND, **ids, **more)
    return run


def months() -> list[str]:
    return [f"{month:%Y-%m}" for month in RUNS.present()]


@pytest.mark.parametrize(("begin", "following"), [(MARCH, APRIL), (datetime(2061, 12, 1, tzinfo=UTC), datetime(2062, 1, 1, tzinfo=UTC))])
def test_a_month_follows_another(begin: datetime, following: datetime) -> None:
    assert next_month(begin) == following


def test_two_months_are_made_ahead_and_a_second_look_changes_nothing(in_march: Clock) -> None:
    assert (keep_usage_partitions(), keep_usage_partitions()) == ((3, 0), (0, 0))
    assert months() == ["2061-03", "2061-04", "2061-05"]

    in_march.advance(30 * 24 * 3600)
    assert keep_usage_partitions() == (1, 0)


def test_an_installation_begins_with_the_month_after_its_first_one(moving_clock: Clock) -> None:
    former = end_of_former()
    assert former is not None
    moving_clock.now = former - SECOND

    assert keep_usage_partitions() == (2, 0)
    assert RUNS.present() == [former, next_month(former)]


def test_each_run_lies_in_the_month_in_which_it_began_and_one_of_another_time_is_not_refused(in_march: Clock) -> None:
    before = add(MARCH), add(APRIL - SECOND), add(datetime(2026, 3, 2, tzinfo=UTC))
    keep_usage_partitions()
    after = add(MARCH + SECOND), add(APRIL), add(MARCH - SECOND), add(MARCH + timedelta(days=4000))

    names = ("m206103", "m206104", "before", "default")
    assert [rows_in(f"deployments_usageevent_{name}") for name in names] == [3, 1, 1, 2]
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == {*before, *after}


def test_runs_are_kept_for_ever_unless_an_operator_says_how_long(in_march: Clock) -> None:
    add(MARCH)
    keep_usage_partitions()
    in_march.advance(4000 * 24 * 3600)

    assert keep_usage_partitions()[1] == 0
    assert UsageEvent.objects.count() == 1


def test_a_month_goes_when_its_last_run_is_too_old(in_march: Clock, settings: Settings) -> None:
    settings.USAGE_RETENTION_DAYS = 31
    keep_usage_partitions()
    add(MARCH)
    in_march.now = APRIL + timedelta(days=31) - SECOND
    assert keep_usage_partitions()[1] == 0
    assert UsageEvent.objects.count() == 1

    in_march.advance(1)
    assert keep_usage_partitions()[1] == 1
    assert (UsageEvent.objects.count(), MARCH in RUNS.present()) == (0, False)


def test_what_was_there_before_goes_as_one_and_what_never_had_a_month_with_it(in_march: Clock, settings: Settings) -> None:
    keep_usage_partitions()
    add(datetime(2026, 3, 2, tzinfo=UTC))
    add(MARCH - 100 * DAY)
    kept = add(MARCH - 5 * DAY), add(MARCH)
    settings.USAGE_RETENTION_DAYS = 31

    assert keep_usage_partitions()[1] == 1
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == set(kept)
    assert end_of_former() is None


@pytest.fixture
def running(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    return settle(deploy(owner))


@pytest.fixture
def partitions(transactional_db: None) -> Iterator[None]:
    """The partitions as they were come back, after a test whose commits are real."""
    former = end_of_former()
    assert former is not None
    yield
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM deployments_usageevent")
        for month in RUNS.present():
            cursor.execute(f"DROP TABLE {RUNS.named(month)}")
        if end_of_former() is None:
            cursor.execute(f"CREATE TABLE {FORMER} PARTITION OF {RUNS.table} FOR VALUES FROM (MINVALUE) TO ('{first_run(former)}')")


def charged() -> int:
    return sum(LedgerEntry.objects.filter(kind="CHARGE").values_list("amount", flat=True))


def tell(running: Deployment, moment: datetime, **more: Any) -> dict[str, Any]:
    """Report a run that began and ended at a moment; return what tells it again."""
    told = {"run": run_at(moment), "at": moment, **more}
    report(running, **told)
    return told


def drop_march(in_march: Clock, settings: Settings) -> None:
    """Let the runs of March be gone, though nobody says any more that they had to go."""
    settings.USAGE_RETENTION_DAYS = 31
    in_march.now = datetime(2061, 6, 15, tzinfo=UTC)
    keep_usage_partitions()
    assert months() == ["2061-05", "2061-06", "2061-07", "2061-08"]
    settings.USAGE_RETENTION_DAYS = 0


@pytest.mark.usefixtures("partitions")
def test_a_run_that_is_told_before_and_after_its_month_is_made_is_charged_once(running: Deployment, in_march: Clock) -> None:
    told = tell(running, in_march.now)
    consume_usage()
    assert keep_usage_partitions() == (3, 0)

    report(running, **told)
    tell(running, in_march.now)
    consume_usage()

    assert rows_in("deployments_usageevent_m206103") == 2
    assert charged() == 2 * PRICE


@pytest.mark.usefixtures("partitions")
def test_a_run_that_is_told_while_its_month_is_made_is_charged(running: Deployment, in_march: Clock) -> None:
    tell(running, in_march.now)

    def consume() -> None:
        consume_usage()
        connection.close()

    thread = threading.Thread(target=consume)

    with transaction.atomic(), connection.cursor() as cursor:
        RUNS.make(MARCH)
        thread.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'deployments_usageevent_default'::regclass"
        found = 0
        while not found:
            cursor.execute(waiting)
            [found] = cursor.fetchone()
    thread.join(20)

    assert rows_in("deployments_usageevent_m206103") == 1
    assert charged() == PRICE
    assert not Alert.objects.filter(kind="USAGE_REFUSED").exists()


@pytest.mark.usefixtures("partitions")
def test_a_run_that_is_told_again_when_it_is_gone_is_put_aside(running: Deployment, in_march: Clock, settings: Settings) -> None:
    keep_usage_partitions()
    told = tell(running, in_march.now)
    consume_usage()
    drop_march(in_march, settings)
    assert not UsageEvent.objects.exists()

    report(running, **told)
    tell(running, in_march.now - 30 * DAY)
    consume_usage()

    assert UsageEvent.objects.count() == 1
    assert sum(UsageBucket.objects.filter(grain="day").values_list("hits", flat=True)) == 2
    assert charged() == 2 * PRICE
    [alert] = Alert.objects.filter(kind="USAGE_REFUSED")
    assert "older than the runs that are kept (USAGE_RETENTION_DAYS), so it may have been counted before" in alert.detail


@pytest.mark.usefixtures("partitions")
def test_sums_of_days_whose_runs_are_gone_are_left_as_they_are(
    running: Deployment, in_march: Clock, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_usage_partitions()
    tell(running, in_march.now)
    consume_usage()
    drop_march(in_march, settings)
    tell(running, in_march.now)
    consume_usage()

    assert [day for day, _ in rebuild_sums()] == [in_march.now]
    call_command("usage_rebuild")

    assert UsageEvent.objects.count() == 1
    assert sum(UsageBucket.objects.filter(grain="day").values_list("hits", flat=True)) == 2
    assert capsys.readouterr().out.splitlines()[-1].startswith("Days before 2061-05-08 stay as they are")


def test_an_upgrade_keeps_the_runs_and_a_downgrade_too(in_march: Clock) -> None:
    migration = importlib.import_module("deployments.migrations.0019_usage_partitions")
    keep_usage_partitions()
    runs = {add(MARCH - 400 * DAY), add(MARCH), add(APRIL)}
    before = indexes()
    with connection.schema_editor() as editor:
        migration.merge(apps, editor)
        assert (set(UsageEvent.objects.values_list("pk", flat=True)), indexes()) == (runs, [one.replace(" ONLY ", " ") for one in before])

        migration.partition(apps, editor, in_march.now)

    assert indexes() == before
    assert end_of_former() == APRIL
    assert [rows_in(f"deployments_usageevent_{name}") for name in ("before", "default")] == [2, 1]
    assert keep_usage_partitions() == (2, 0)
    assert [rows_in(f"deployments_usageevent_{name}") for name in ("before", "m206104", "default")] == [2, 1, 0]
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == runs


def indexes() -> list[str]:
    """Return the indexes of the table as a whole."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'deployments_usageevent' ORDER BY indexname")
        return [text for (text,) in cursor.fetchall()]


def test_the_least_id_of_a_moment_is_below_all_ids_of_it() -> None:
    moment = datetime(2026, 3, 2, 9, 0, 0, 123_000, tzinfo=UTC)

    assert first_run(moment) <= run_at(moment) < first_run(moment + timedelta(milliseconds=1))
