"""Reported runs reach PostgreSQL once each, priced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import redis

from controlplane.accounts.models import User
from controlplane.common.clock import milliseconds
from controlplane.common.ids import uuid7
from controlplane.common.valkey import valkey
from deployments import usage, usage_stream
from deployments.models import Alert, Deployment, UsageEvent
from deployments.selectors_usage import usage_by_product
from tests.deployments.builders import deploy
from tests.deployments.consuming import consume_usage
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def running(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    return settle(deploy(owner))


def report(
    deployment: Deployment, *, run: object = None, product: str = "AWS SERVERLESS S", at: datetime = NOON, **more: object
) -> dict[str, str]:
    assert deployment.workflow is not None
    fields = {
        "run": run or uuid7(),
        "deployment": deployment.pk,
        "workflow": deployment.workflow_id,
        "project": deployment.workflow.project_id,
        "namespace": deployment.namespace_id,
        "product": product,
        "state": "SUCCESS",
        "duration_ms": 12,
        "ended_at": milliseconds(at),
        **more,
    }
    text: Any = {name: str(value) for name, value in fields.items()}
    valkey().xadd("sw:usage", text)
    return dict(text)


def test_a_run_becomes_a_row_with_its_price(running: Deployment) -> None:
    fields = report(running)

    assert consume_usage() == 1

    event = UsageEvent.objects.get()
    assert (str(event.run), event.product, event.state, event.duration_ms) == (fields["run"], "AWS SERVERLESS S", "SUCCESS", 12)
    assert (event.micro_credits, event.ended_at) == (12 * 829, NOON)
    assert valkey().xlen("sw:usage") == 0


def test_a_run_on_an_instance_costs_nothing_of_its_own(running: Deployment) -> None:
    report(running, product="AWS CLUSTER M")

    consume_usage()

    assert UsageEvent.objects.get().micro_credits == 0


def test_a_run_that_is_reported_again_is_counted_once(running: Deployment) -> None:
    fields = report(running)
    report(running, run=fields["run"])
    consume_usage()
    # Another gateway that ended it too says the same of it, a little later.
    report(running, run=fields["run"], at=NOON + timedelta(seconds=20))

    consume_usage()

    assert UsageEvent.objects.get().ended_at == NOON
    assert (valkey().xlen("sw:usage"), valkey().xlen("sw:usage:refused")) == (0, 0)
    assert not Alert.objects.exists()


@pytest.mark.parametrize(
    "other", [{"duration_ms": 13}, {"state": "FAILURE"}, {"product": "AWS CLUSTER M"}, {"at": NOON + timedelta(hours=2)}]
)
@pytest.mark.parametrize("in_one_batch", [False, True])
def test_another_run_under_the_id_of_one_is_kept_aside_and_operators_are_told(
    running: Deployment, other: dict[str, Any], *, in_one_batch: bool
) -> None:
    fields = report(running)
    if not in_one_batch:
        consume_usage()
    report(running, run=fields["run"], **other)
    report(running)

    consume_usage()

    assert {event.duration_ms for event in UsageEvent.objects.all()} == {12}
    assert (UsageEvent.objects.count(), valkey().xlen("sw:usage")) == (2, 0)
    [(_, kept)] = cast("list[tuple[bytes, dict[bytes, bytes]]]", valkey().xrange("sw:usage:refused"))
    assert kept[b"run"].decode() == fields["run"]
    assert b"another run" in kept[b"refused"]
    alert = Alert.objects.get(cleared_at=None)
    assert (alert.kind, alert.subject) == ("USAGE_REFUSED", "sw:usage:refused")
    assert fields["run"] in alert.detail


def test_a_worker_that_dies_before_the_commit_loses_nothing(running: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    report(running)
    with monkeypatch.context() as patch:
        patch.setattr(usage, "store", lambda entries: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            consume_usage()
    monkeypatch.setattr(usage_stream, "RECLAIM_AFTER_MS", 0)

    consume_usage()

    assert UsageEvent.objects.count() == 1


def test_a_worker_that_dies_after_the_commit_counts_nothing_twice(running: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    report(running)
    with monkeypatch.context() as patch:
        patch.setattr(redis.client.Pipeline, "execute", lambda pipe: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            consume_usage()
    assert (UsageEvent.objects.count(), valkey().xlen("sw:usage")) == (1, 1)
    monkeypatch.setattr(usage_stream, "RECLAIM_AFTER_MS", 0)

    consume_usage()

    assert (UsageEvent.objects.count(), valkey().xlen("sw:usage")) == (1, 0)


def test_more_runs_than_a_batch_all_arrive(running: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_stream, "BATCH", 7)
    for _ in range(30):
        report(running)

    assert consume_usage() == 30

    assert UsageEvent.objects.count() == 30


@pytest.mark.parametrize(
    "wrong", [{"product": "AWS NOTHING S"}, {"run": "no uuid"}, {"state": "MAYBE"}, {"duration_ms": "-1"}, {"ended_at": "9" * 30}]
)
def test_an_entry_that_cannot_be_is_kept_aside_and_does_not_hold_up_the_rest(running: Deployment, wrong: dict[str, str]) -> None:
    report(running, **wrong)  # type: ignore[arg-type]
    report(running)

    assert consume_usage() == 2

    assert (UsageEvent.objects.count(), valkey().xlen("sw:usage"), valkey().xlen("sw:usage:refused")) == (1, 0, 1)
    assert Alert.objects.get().kind == "USAGE_REFUSED"


def test_a_valkey_that_lost_its_data_is_no_error(running: Deployment) -> None:
    consume_usage()
    valkey().flushdb()
    report(running)

    assert consume_usage() == 1


def test_hits_are_counted_by_minute_and_the_last_one_is_included(running: Deployment) -> None:
    for seconds in (0, 59, 60, 119):
        report(running, at=NOON + timedelta(seconds=seconds), product="AWS CLUSTER M")
    report(running, at=NOON + timedelta(seconds=120), product="AWS CLUSTER M")
    report(running, at=NOON - timedelta(seconds=1), product="AWS CLUSTER M")
    report(running, at=NOON, product="AWS CLUSTER L")
    consume_usage()

    found = usage_by_product(running.pk, since=NOON, until=NOON + timedelta(minutes=1))

    assert found == [
        {
            "product": {"name": "AWS CLUSTER L", "unit": "HIT"},
            "hits": {"total": 1, "data": {str(milliseconds(NOON)): 1}},
            "duration_ms": 12,
            "micro_credits": 0,
        },
        {
            "product": {"name": "AWS CLUSTER M", "unit": "HIT"},
            "hits": {"total": 4, "data": {str(milliseconds(NOON)): 2, str(milliseconds(NOON) + 60_000): 2}},
            "duration_ms": 48,
            "micro_credits": 0,
        },
    ]


@pytest.mark.parametrize(("days", "step"), [(1, 60), (7, 3600), (30, 86400)])
def test_longer_periods_are_counted_more_coarsely(running: Deployment, days: int, step: int) -> None:
    report(running, at=NOON + timedelta(hours=3, minutes=17, seconds=9))
    consume_usage()

    until = NOON + timedelta(days=1)
    (row,) = usage_by_product(running.pk, since=until - timedelta(days=days), until=until)

    (bucket,) = row["hits"]["data"]
    moment = milliseconds(NOON + timedelta(hours=3, minutes=17, seconds=9))
    assert int(bucket) == moment - moment % (step * 1000)


def test_a_period_without_runs_is_empty(running: Deployment) -> None:
    assert usage_by_product(running.pk, since=NOON, until=NOON + timedelta(days=1)) == []
