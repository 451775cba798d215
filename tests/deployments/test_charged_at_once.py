"""Runs are charged in the statement that writes them: however they are divided into batches, and whoever pays, the same comes out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.db.models import Sum
from pytest_django import Settings

from billing.grants import grant_credits
from billing.models import BilledDeployment, DailySpend, Grant, GrantSource, HourlySpend, Posting, Unit
from billing.wallets import open_wallet
from controlplane.common.clock import milliseconds
from controlplane.common.valkey import valkey
from deployments import usage_stream
from deployments.meter import Desk
from deployments.models import Alert, UsageBucket, UsageEvent
from tests.deployments.conftest import Clock
from tests.deployments.consuming import consume_usage

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RUNS = 700
DEAR = 829 * 10**4


@pytest.fixture(autouse=True)
def alone(settings: Settings, moving_clock: Clock) -> None:
    """An empty stream, and wallets that get nothing of themselves."""
    settings.ORGANIZATION_PLAN = ""
    moving_clock.now = NOON
    valkey().delete(usage_stream.STREAM, usage_stream.REFUSED_STREAM)


@dataclass
class World:
    """Workspaces that pay in different ways, each with two deployments, and one deployment that billing does not know."""

    grants: dict[UUID, str] = field(default_factory=dict)
    deployments: dict[UUID, str] = field(default_factory=dict)

    def wallet(self, name: str, *granted: tuple[Unit, int, timedelta, timedelta]) -> None:
        """Open a wallet with grants, each with its unit, amount, begin and end after noon."""
        wallet = open_wallet(uuid4(), is_personal=False)
        for number, (unit, amount, begin, end) in enumerate(granted):
            told: Any = {"unit": unit, "amount": amount, "starts_at": NOON + begin, "expires_at": NOON + end}
            grant = grant_credits(wallet_id=wallet.pk, key=str(uuid4()), source=GrantSource.OPERATOR, **told)
            self.grants[grant.pk] = f"{name} {number}"
        for label in ("a", "b"):
            deployment = uuid4()
            self.deployments[deployment] = f"{name}/{label}"
            BilledDeployment.objects.create(
                deployment_id=deployment, wallet=wallet, project_id=uuid4(), label="a/b", offer="AWS FRANCE SERVERLESS S"
            )

    def sums(self) -> dict[str, Any]:
        """Return what came out, without the ids that differ from world to world."""
        names = self.deployments
        grants: dict[Any, str] = {**self.grants, None: "platform"}
        paid: Counter[tuple[Any, ...]] = Counter()
        for grant, *key, amount in Posting.objects.filter(entry__kind="CHARGE").values_list("grant_id", "booked_at", "unit", "amount"):
            paid[grants[grant], *key] += amount
        days = DailySpend.objects.values_list("deployment_id", "day", "price__code", "quantity", "amount")
        buckets = UsageBucket.objects.values_list(
            "deployment_id", "grain", "start", "product", "hits", "failures", "duration_ms", "micro_credits"
        )
        return {
            "paid": paid,
            "spent": {grants[pk]: spent for pk, spent in Grant.objects.values_list("pk", "spent")},
            "hours": sorted((grants[pk], *row) for pk, *row in HourlySpend.objects.values_list("grant_id", "hour", "amount")),
            "days": sorted((names[pk], *row) for pk, *row in days),
            "written off": DailySpend.objects.aggregate(all=Sum("written_off"))["all"],
            "buckets": sorted((names[pk], *row) for pk, *row in buckets),
            "runs": UsageEvent.objects.count(),
            "alerts": Alert.objects.count(),
        }


def make_world() -> World:
    """Have workspaces with much, little, nothing, free runs, and credits that begin and end while the runs go on."""
    world, year, ago, micro = World(), timedelta(days=365), -timedelta(hours=1), Unit.MICRO_CREDIT
    world.wallet("rich", (micro, 10**13, ago, year))
    world.wallet("ending", (micro, 90 * DEAR, ago, timedelta(days=1)), (micro, 10**13, ago, year))
    world.wallet("poor", (micro, 50 * DEAR + 7, ago, year))
    world.wallet("empty")
    world.wallet("free", (Unit.HIT, 31, ago, year), (micro, 10**13, ago, year))
    world.wallet("divided", (micro, 10**12, ago, MINUTE), (micro, 10**12, MINUTE, 2 * MINUTE), (micro, 10**12, 2 * MINUTE, year))
    world.deployments[uuid4()] = "unknown"
    return world


def make_runs(seed: int) -> list[dict[str, Any]]:
    """Return runs of three minutes in the order of their ids and times, by the names of their deployments."""
    chance = Random(seed)
    names = [f"{name}/{label}" for name in ("rich", "ending", "poor", "empty", "free", "divided") for label in "ab"]
    made: list[dict[str, Any]] = []
    for number in range(RUNS):
        at = NOON + 3 * MINUTE * number / RUNS
        made.append(
            {
                "run": str(UUID(int=number + 1)),
                "deployment": "unknown" if number % 97 == 0 else chance.choice(names),
                "product": chance.choice(["AWS SERVERLESS S"] * 8 + ["AWS SERVERLESS L", "AWS CLUSTER M"]),
                "state": chance.choice(["SUCCESS", "SUCCESS", "FAILURE"]),
                "duration_ms": chance.choice([0, 1, 10_000, 50_000]),
                "ended_at": milliseconds(at),
            }
        )
    return made


def report(world: World, runs: list[dict[str, Any]]) -> None:
    """Put runs into the stream, with the ids of this world."""
    ids = {name: str(pk) for pk, name in world.deployments.items()}
    pipe = valkey().pipeline()
    for run in runs:
        pk = ids[run["deployment"]]
        fields: Any = {**run, "deployment": pk, "workflow": pk, "project": pk, "namespace": pk}
        pipe.xadd(usage_stream.STREAM, fields)
    pipe.execute()


def outcome(runs: list[dict[str, Any]], batch: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the sums of a world of its own in which these runs came in batches of this size, each of them twice."""
    monkeypatch.setattr(usage_stream, "BATCH", 2 * batch)
    with transaction.atomic():
        world = make_world()
        for start in range(0, len(runs), batch):
            report(world, runs[start : start + batch] * 2)
            consume_usage()
        found = world.sums()
        transaction.set_rollback(True)
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_however_runs_are_divided_into_batches_the_same_is_charged(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = make_runs(seed)

    one_by_one = outcome(runs, 1, monkeypatch)

    assert one_by_one["runs"] == RUNS
    assert one_by_one["written off"] > 0
    assert {name for name, *_ in one_by_one["paid"]} == {*one_by_one["spent"], "platform"}
    assert one_by_one["alerts"] == 1
    for batch in (13, 350, RUNS):
        assert outcome(runs, batch, monkeypatch) == one_by_one


def test_a_desk_gives_all_that_waits_at_once_and_the_rest_at_the_end() -> None:
    desk = Desk()
    desk.lay([entry(1)])
    desk.lay([entry(2), entry(3)])

    assert desk.take() == [entry(1), entry(2), entry(3)]

    desk.lay([entry(4)])
    desk.close()
    assert desk.take() == [entry(4)]
    assert desk.take() == []


def test_a_desk_that_is_full_makes_who_brings_more_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.meter.BATCH", 2)
    desk = Desk()
    desk.lay([entry(1), entry(2)])
    bringing = Thread(target=desk.lay, args=([entry(3)],))
    bringing.start()

    assert desk.take() == [entry(1), entry(2)]
    bringing.join(10)
    assert desk.take() == [entry(3)]


def entry(number: int) -> usage_stream.Entry:
    return (b"%d-0" % number, {b"run": b"%d" % number})
