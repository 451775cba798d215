"""The months of the runs: made ahead, dropped only when an operator says so, and no run counted twice for it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django import Settings

from billing.models import LedgerEntry
from controlplane.accounts.models import User
from controlplane.common.clock import milliseconds
from controlplane.common.ids import uuid7
from deployments.models import Alert, Deployment, UsageBucket, UsageEvent
from deployments.usage_partitions import RUNS, first_run, keep_usage_partitions, next_month
from deployments.usage_sums import rebuild_sums
from tests.deployments.builders import deploy
from tests.deployments.conftest import Clock
from tests.deployments.consuming import consume_usage
from tests.deployments.test_usage import report
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
pytestmark = pytest.mark.django_db


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


@pytest.mark.parametrize(
    ("begin", "following"),
    [(MARCH, datetime(2026, 4, 1, tzinfo=UTC)), (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))],
)
def test_a_month_follows_another(begin: datetime, following: datetime) -> None:
    assert next_month(begin) == following


def test_two_months_are_made_ahead_and_a_second_look_changes_nothing(moving_clock: Clock) -> None:
    assert (keep_usage_partitions(), keep_usage_partitions()) == ((3, 0), (0, 0))
    assert [f"{month:%Y-%m}" for month in RUNS.present()] == ["2026-03", "2026-04", "2026-05"]

    moving_clock.advance(30 * 24 * 3600)
    assert keep_usage_partitions() == (1, 0)


def test_each_run_lies_in_the_month_in_which_it_began_and_one_of_another_time_is_not_refused(moving_clock: Clock) -> None:
    before = add(MARCH), add(next_month(MARCH) - SECOND)
    keep_usage_partitions()
    after = add(MARCH + SECOND), add(next_month(MARCH)), add(MARCH - SECOND), add(MARCH + timedelta(days=4000))

    names = ("m202603", "m202604", "default")
    assert [rows_in(f"deployments_usageevent_{name}") for name in names] == [3, 1, 2]
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == {*before, *after}


def test_runs_are_kept_for_ever_unless_an_operator_says_how_long(moving_clock: Clock) -> None:
    add(MARCH)
    keep_usage_partitions()
    moving_clock.advance(4000 * 24 * 3600)

    assert keep_usage_partitions()[1] == 0
    assert UsageEvent.objects.count() == 1


def test_a_month_goes_when_its_last_run_is_too_old(moving_clock: Clock, settings: Settings) -> None:
    settings.USAGE_RETENTION_DAYS = 31
    add(MARCH - timedelta(days=1))
    keep_usage_partitions()
    add(MARCH)
    moving_clock.now = next_month(MARCH) + timedelta(days=31) - SECOND

    assert keep_usage_partitions()[1] == 0
    # That of February never had a partition, and goes by itself.
    assert UsageEvent.objects.count() == 1

    moving_clock.advance(1)
    assert keep_usage_partitions()[1] == 1
    assert (UsageEvent.objects.count(), MARCH in RUNS.present()) == (0, False)


@pytest.fixture
def running(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    return settle(deploy(owner))


@pytest.fixture
def march(transactional_db: None) -> Any:
    """What partitions a test makes whose commits are real go with it."""
    yield
    with connection.cursor() as cursor:
        for month in RUNS.present():
            cursor.execute(f"DROP TABLE {RUNS.named(month)}")


@pytest.mark.usefixtures("march")
def test_a_run_that_is_told_before_and_after_its_month_is_made_is_charged_once(running: Deployment, moving_clock: Clock) -> None:
    told: Any = {"run": run_at(moving_clock.now), "at": moving_clock.now}
    report(running, **told)
    consume_usage()
    assert keep_usage_partitions() == (3, 0)

    report(running, **told)
    report(running, run=run_at(moving_clock.now), at=moving_clock.now)
    consume_usage()

    assert rows_in("deployments_usageevent_m202603") == 2
    assert sum(LedgerEntry.objects.filter(kind="CHARGE").values_list("amount", flat=True)) == 2 * 12 * 829


@pytest.mark.usefixtures("march")
def test_a_run_that_is_told_again_when_it_is_gone_is_put_aside(running: Deployment, moving_clock: Clock, settings: Settings) -> None:
    settings.USAGE_RETENTION_DAYS = 31
    told: Any = {"run": run_at(moving_clock.now), "at": moving_clock.now}
    report(running, **told)
    consume_usage()
    began = moving_clock.now
    moving_clock.now = datetime(2026, 6, 15, tzinfo=UTC)
    keep_usage_partitions()
    assert not UsageEvent.objects.exists()

    report(running, **told)
    report(running, run=run_at(moving_clock.now - timedelta(days=30)), at=began)
    consume_usage()

    assert UsageEvent.objects.count() == 1
    assert sum(UsageBucket.objects.filter(grain="day").values_list("hits", flat=True)) == 2
    [alert] = Alert.objects.filter(kind="USAGE_REFUSED")
    assert "older than 31 days (USAGE_RETENTION_DAYS), so it may have been counted before" in alert.detail


@pytest.mark.usefixtures("march")
def test_sums_of_days_whose_runs_are_gone_are_left_as_they_are(
    running: Deployment, moving_clock: Clock, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    report(running, run=run_at(moving_clock.now), at=moving_clock.now)
    moving_clock.now = datetime(2026, 6, 15, tzinfo=UTC)
    report(running, run=run_at(moving_clock.now), at=moving_clock.now)
    consume_usage()
    settings.USAGE_RETENTION_DAYS = 31
    keep_usage_partitions()

    assert [day for day, _ in rebuild_sums()] == [moving_clock.now]
    call_command("usage_rebuild")

    assert UsageEvent.objects.count() == 1
    assert sum(UsageBucket.objects.filter(grain="day").values_list("hits", flat=True)) == 2
    assert capsys.readouterr().out.splitlines()[-1].startswith("Days before 2026-05-23 stay as they are")


def test_an_upgrade_keeps_the_runs_and_a_downgrade_too(moving_clock: Clock) -> None:
    migration = importlib.import_module("deployments.migrations.0019_usage_partitions")
    runs = {add(MARCH), add(MARCH + timedelta(days=40))}
    keep_usage_partitions()
    before = indexes()
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in migration.MERGE:
            cursor.execute(statement)
        assert set(UsageEvent.objects.values_list("pk", flat=True)) == runs
        for statement in migration.PARTITION:
            cursor.execute(statement)
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == runs

    assert indexes() == before
    assert rows_in("deployments_usageevent_default") == 2
    assert keep_usage_partitions() == (3, 0)
    assert rows_in("deployments_usageevent_default") == 0
    assert set(UsageEvent.objects.values_list("pk", flat=True)) == runs


def indexes() -> list[str]:
    """Return the indexes of the table as a whole."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'deployments_usageevent' ORDER BY indexname")
        return [text for (text,) in cursor.fetchall()]


def test_the_least_id_of_a_moment_is_below_all_ids_of_it() -> None:
    moment = datetime(2026, 3, 2, 9, 0, 0, 123_000, tzinfo=UTC)

    assert first_run(moment) <= run_at(moment) < first_run(moment + timedelta(milliseconds=1))
