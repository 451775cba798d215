"""Sums of usage are what the runs add up to: once each, in the right minute, hour and day, whatever happens on the way."""

from __future__ import annotations

import importlib
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction
from rest_framework.test import APIClient

from controlplane.accounts.models import User
from controlplane.common.clock import milliseconds
from controlplane.common.errors import InvalidInput
from controlplane.common.ids import uuid7
from deployments import usage_stream
from deployments.models import Deployment, UsageBucket, UsageEvent
from deployments.selectors_usage import faults_since, usage_by_product
from deployments.usage_sums import insert_events
from tests.deployments.builders import deploy
from tests.deployments.consuming import consume_usage
from tests.deployments.test_usage import NOON, report
from tests.fakes.provider import FakeProvider

Api = Callable[..., APIClient]
OTHER = UUID(int=7)


@pytest.fixture
def deployment(owner: User, cloud: FakeProvider) -> Deployment:
    return deploy(owner)


def ran(*, at: datetime = NOON, deployment: UUID = OTHER, product: str = "AWS CLUSTER M", **more: Any) -> UsageEvent:
    fields = {"run": uuid7(), "workflow_id": OTHER, "project_id": OTHER, "namespace_id": OTHER, "state": "SUCCESS", "duration_ms": 5}
    return UsageEvent(deployment_id=deployment, product=product, ended_at=at, micro_credits=3, **{**fields, **more})


def sums() -> list[tuple[Any, ...]]:
    columns = ("deployment_id", "grain", "start", "product", "hits", "failures", "duration_ms", "micro_credits")
    return sorted(UsageBucket.objects.values_list(*columns))


def added_up() -> list[tuple[Any, ...]]:
    """What the runs come to, counted in Python."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for event in UsageEvent.objects.all():
        day = event.ended_at.replace(hour=0, minute=0, second=0, microsecond=0)
        hour = day.replace(hour=event.ended_at.hour)
        for grain, start in (("day", day), ("hour", hour), ("minute", hour.replace(minute=event.ended_at.minute))):
            values = found.setdefault((event.deployment_id, grain, start, event.product), [0, 0, 0, 0])
            for place, value in enumerate((1, int(event.state != "SUCCESS"), event.duration_ms, event.micro_credits)):
                values[place] += value
    return sorted((*key, *values) for key, values in found.items())


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.django_db
def test_sums_equal_the_runs_whatever_is_repeated_or_late(seed: int) -> None:
    chance = random.Random(seed)
    runs = [
        ran(
            at=NOON + timedelta(seconds=chance.randrange(-200_000, 200_000)),
            deployment=UUID(int=chance.randrange(3)),
            product=chance.choice(["AWS CLUSTER M", "AWS SERVERLESS S"]),
            state=chance.choice(["SUCCESS", "FAILURE"]),
            duration_ms=chance.randrange(1000),
        )
        for _ in range(60)
    ]

    for _ in range(8):
        insert_events(chance.choices(runs, k=25))

    assert sums() == added_up()
    assert UsageEvent.objects.count() < 60


@pytest.mark.django_db
def test_no_runs_are_no_sums() -> None:
    insert_events([])

    assert sums() == []


@pytest.mark.django_db
def test_a_run_in_the_last_millisecond_of_a_day_belongs_to_it() -> None:
    insert_events([ran(at=datetime(2026, 3, 2, 23, 59, 59, 999000, tzinfo=UTC)), ran(at=datetime(2026, 3, 3, tzinfo=UTC))])

    found = UsageBucket.objects.filter(grain="day").order_by("start").values_list("start", "hits")

    assert list(found) == [(datetime(2026, 3, 2, tzinfo=UTC), 1), (datetime(2026, 3, 3, tzinfo=UTC), 1)]


def test_workers_that_write_the_same_runs_at_the_same_time_count_them_once(transactional_db: None) -> None:
    runs = [ran(at=NOON + timedelta(minutes=number)) for number in range(40)]
    start, failures = threading.Barrier(4), []

    def work(seed: int) -> None:
        mine = random.Random(seed).sample(runs, k=40)
        try:
            start.wait(10)
            for first in range(0, 40, 8):
                insert_events(mine[first : first + 8])
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert sums() == added_up()
    assert UsageEvent.objects.count() == 40


def test_a_transaction_that_is_rolled_back_leaves_neither_run_nor_sum(transactional_db: None) -> None:
    def die_before_the_commit() -> None:
        with transaction.atomic():
            insert_events([ran()])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        die_before_the_commit()

    assert (UsageEvent.objects.count(), sums()) == (0, [])


def test_a_worker_that_dies_after_the_commit_adds_nothing_twice(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    report(deployment)
    with monkeypatch.context() as patch:
        patch.setattr("redis.client.Pipeline.execute", lambda pipe: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            consume_usage()
    monkeypatch.setattr(usage_stream, "RECLAIM_AFTER_MS", 0)

    consume_usage()

    assert list(UsageBucket.objects.values_list("hits", flat=True)) == [1, 1, 1]


def test_revision_and_fault_of_a_run_are_kept_and_counted(deployment: Deployment) -> None:
    report(deployment, revision=2, fault="1", state="FAILURE")
    report(deployment, revision=2, fault="", state="FAILURE")
    report(deployment, revision=2, at=NOON - timedelta(hours=1), fault="1", state="FAILURE")
    report(deployment, revision=1, fault="1", state="FAILURE")
    report(deployment, revision="", fault="")
    report(deployment)

    consume_usage()

    assert faults_since(deployment.pk, revision=2, since=NOON) == (2, 1)
    assert UsageEvent.objects.filter(revision=None, fault=False).count() == 2


@pytest.mark.parametrize("wrong", [{"revision": "x"}, {"revision": "-1"}, {"revision": str(2**31)}, {"duration_ms": str(2**62)}], ids=str)
def test_numbers_that_no_column_holds_are_put_aside_and_hold_up_nothing(deployment: Deployment, wrong: dict[str, str]) -> None:
    report(deployment, **wrong)  # type: ignore[arg-type]
    report(deployment)

    assert consume_usage() == 2

    assert UsageEvent.objects.count() == 1


@pytest.mark.django_db
def test_a_wrong_sum_is_mended_by_the_command_and_other_days_are_left_alone() -> None:
    insert_events([ran(), ran(at=NOON + timedelta(days=1)), ran(at=NOON - timedelta(days=400))])
    UsageBucket.objects.update(hits=99)
    UsageBucket.objects.create(
        deployment_id=OTHER, grain="hour", start=NOON + timedelta(days=2), product="none", project_id=OTHER, namespace_id=OTHER,
        hits=1, failures=0, duration_ms=0, micro_credits=0,
    )  # fmt: skip

    call_command("usage_rebuild", "--from", "2026-03-02", "--to", "2026-03-02", stdout=(out := StringIO()))
    assert sorted(UsageBucket.objects.values_list("hits", flat=True)) == [1, 1, 1, 1, 99, 99, 99, 99, 99, 99]
    assert "2026-03-02: 3 sums" in out.getvalue()

    call_command("usage_rebuild", stdout=StringIO())
    assert sums() == added_up()


@pytest.mark.django_db
def test_the_sums_of_one_deployment_can_be_mended_alone() -> None:
    insert_events([ran(), ran(deployment=UUID(int=8))])
    UsageBucket.objects.update(hits=99)

    call_command("usage_rebuild", "--deployment", str(OTHER), stdout=StringIO())

    assert set(UsageBucket.objects.values_list("deployment_id", "hits")) == {(OTHER, 1), (UUID(int=8), 99)}


@pytest.mark.django_db
def test_runs_from_before_there_were_sums_are_added_up_by_the_migration() -> None:
    UsageEvent.objects.bulk_create([ran(), ran(state="FAILURE"), ran(at=NOON + timedelta(days=3))])
    migration = importlib.import_module("deployments.migrations.0008_sum_usage")

    for _ in range(2):
        with connection.schema_editor() as editor:
            migration.add_up(apps, editor)

    assert sums() == added_up()


@pytest.mark.django_db
def test_a_month_of_runs_is_read_from_its_sums_alone(django_assert_num_queries: Callable[..., Any]) -> None:
    insert_events([ran(at=NOON + timedelta(minutes=number)) for number in range(200)])
    UsageEvent.objects.all().delete()

    with django_assert_num_queries(1):
        (row,) = usage_by_product(OTHER, since=NOON - timedelta(days=30), until=NOON + timedelta(days=1))

    assert row["hits"] == {"total": 200, "data": {str(milliseconds(NOON.replace(hour=0))): 200}}


@pytest.mark.parametrize(("bucket", "count"), [("minute", 3), ("hour", 2), ("day", 1)])
@pytest.mark.django_db
def test_the_caller_chooses_how_fine_runs_are_counted(bucket: str, count: int) -> None:
    insert_events([ran(), ran(at=NOON + timedelta(minutes=1)), ran(at=NOON + timedelta(hours=1))])

    (row,) = usage_by_product(OTHER, since=NOON - timedelta(days=3), until=NOON + timedelta(days=3), bucket=bucket)

    assert len(row["hits"]["data"]) == count


def test_too_fine_a_count_of_a_long_time_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        usage_by_product(OTHER, since=NOON - timedelta(days=32), until=NOON, bucket="minute")

    assert caught.value.code == "too_many_buckets"


def test_projects_and_namespaces_are_counted_together(api: Api, owner: User, cloud: FakeProvider) -> None:
    first, second = deploy(owner), deploy(owner)
    for deployment in (first, second, second):
        report(deployment, product="AWS CLUSTER M")
    consume_usage()
    assert first.workflow is not None
    query: dict[str, str | int] = {"from": milliseconds(NOON), "to": milliseconds(NOON)}

    in_project = api(owner).get(f"/v1/projects/{first.workflow.project_id}/usage/", query).json()
    in_namespace = api(owner).get(f"/v1/namespaces/{first.namespace_id}/usage/", {**query, "bucket": "hour"}).json()

    assert in_project[0]["hits"] == {"total": 1, "data": {str(milliseconds(NOON)): 1}}
    assert in_namespace[0]["hits"] == {"total": 3, "data": {str(milliseconds(NOON)): 3}}


def test_a_bucket_that_there_is_not_is_refused(api: Api, owner: User, cloud: FakeProvider) -> None:
    answer = api(owner).get(f"/v1/deployments/{deploy(owner).pk}/usage/", {"bucket": "week"})

    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["bucket"])


def test_a_stranger_counts_nothing(api: Api, owner: User, stranger: User, cloud: FakeProvider) -> None:
    deployment = deploy(owner)
    assert deployment.workflow is not None

    for path in (f"projects/{deployment.workflow.project_id}", f"namespaces/{deployment.namespace_id}"):
        assert api(stranger).get(f"/v1/{path}/usage/").status_code == 404
