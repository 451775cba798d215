"""kill -9 of the meter at every step of its work: the next one ends in the same sums."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from billing.balances import balance_from_postings, standing_of
from billing.checkpoints import NAMES
from billing.grants import grant_credits
from billing.metering import meter, note_instance, register_instance
from billing.models import BilledDeployment, Grant, GrantSource, LedgerEntry, MeteredResource
from billing.prices import price_ids
from billing.wallets import open_wallet
from controlplane.common import clock
from controlplane.common.clock import milliseconds
from controlplane.common.ids import uuid7
from controlplane.common.valkey import valkey
from controlplane.embedded.options import REPOSITORY
from deployments import usage_stream
from deployments.models import UsageEvent
from deployments.offers import find_product
from tests.deployments.consuming import consume_usage

RUNS, RUN_MS, RATE = 60, 11, 829
INSTANCE, INSTANCE_RATE = "AWS CLUSTER M", 15_320
# A meter that ends without a word when it passes the boundary for the n-th time.
CHILD = """
import os, signal, sys
import django
django.setup()
from billing import checkpoints
from billing.metering import meter
from deployments import usage_stream
from tests.deployments.consuming import consume_usage
name, left = sys.argv[1], int(sys.argv[2])
usage_stream.BATCH = 20
def end(passed):
    global left
    left -= passed == name
    if passed == name and left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoints.hook = end
meter()
consume_usage()
print("came to the end")
"""


@pytest.fixture(autouse=True)
def alone(settings: Settings, monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> None:
    """An empty stream, and no hints to workers."""
    settings.ORGANIZATION_PLAN = ""
    valkey().delete(usage_stream.STREAM, usage_stream.REFUSED_STREAM)
    monkeypatch.setattr("billing.funding.send_task", lambda *_, **__: None)


def run_meter(boundary: str, after: int) -> subprocess.CompletedProcess[str]:
    """Run a meter on this test's database until it kills itself."""
    url = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(
        **{**connection.settings_dict, "NAME": connection.settings_dict["NAME"]}
    )
    environment = {**os.environ, "DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL, "DJANGO_SETTINGS_MODULE": "controlplane.settings"}
    words = [sys.executable, "-c", CHILD, boundary, str(after)]
    return subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False)


def make_wallet() -> Any:
    """Open a wallet with two grants, the first of which the runs use up."""
    wallet = open_wallet(uuid4(), is_personal=False)
    now = clock.now()
    told: Any = {"wallet_id": wallet.pk, "source": GrantSource.OPERATOR, "starts_at": now - timedelta(hours=1)}
    grant_credits(amount=17 * RUN_MS * RATE + 5, key=str(uuid4()), expires_at=now + timedelta(days=1), **told)
    grant_credits(amount=10**12, key=str(uuid4()), **told)
    return wallet


def report_runs(deployment: Any) -> list[dict[Any, Any]]:
    """Report runs, some of them twice."""
    now = milliseconds(clock.now())
    ids = {"deployment": deployment, "workflow": deployment, "project": deployment, "namespace": deployment}
    told = {
        "product": "AWS SERVERLESS S",
        "state": "SUCCESS",
        "duration_ms": RUN_MS,
        "ended_at": now,
        **{name: str(pk) for name, pk in ids.items()},
    }
    made: list[dict[Any, Any]] = [{"run": str(uuid7()), **told} for _ in range(RUNS)]
    for fields in [*made, *made[:7]]:
        valkey().xadd(usage_stream.STREAM, fields)
    return made


def start_instance(wallet: Any, *, seconds: int) -> MeteredResource:
    """Have an instance that ran for so long and stopped."""
    offer = find_product(INSTANCE)
    assert offer is not None
    price = price_ids([(INSTANCE, offer.price)])[INSTANCE, offer.price]
    pk, now = uuid7(), clock.now()
    register_instance(resource_id=pk, wallet_id=wallet.pk, deployment_id=uuid4(), price_id=price)
    note_instance(pk, started_at=now - timedelta(seconds=seconds), billable=True, ending_at=now, stopped_at=now)
    return MeteredResource.objects.get(pk=pk)


@pytest.mark.parametrize("boundary", NAMES)
def test_a_meter_that_is_killed_loses_and_doubles_nothing(boundary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wallet = make_wallet()
    deployment = uuid4()
    BilledDeployment.objects.create(
        deployment_id=deployment, wallet=wallet, project_id=uuid4(), label="a/b", offer="AWS FRANCE SERVERLESS S"
    )
    report_runs(deployment)
    instance = start_instance(wallet, seconds=500)

    ended = run_meter(boundary, after=0 if boundary in ("spans_charged", "metered") else 1)
    assert ended.returncode == -9, ended.stderr[-2000:]
    monkeypatch.setattr(usage_stream, "RECLAIM_AFTER_MS", 0)
    meter()
    consume_usage()

    runs = RUNS * RUN_MS * RATE
    instances = 500 * INSTANCE_RATE
    assert UsageEvent.objects.count() == RUNS
    entries = LedgerEntry.objects.filter(kind="CHARGE")
    assert sum(entries.filter(deployment_id=deployment).values_list("amount", flat=True)) == runs
    assert sum(entries.filter(deployment_id=instance.deployment_id).values_list("amount", flat=True)) == instances
    granted = sum(Grant.objects.values_list("amount", flat=True))
    assert standing_of(wallet.pk).balance == balance_from_postings(wallet.pk, clock.now()) == granted - runs - instances
    instance.refresh_from_db()
    assert instance.closed_at is not None
    assert (valkey().xlen(usage_stream.STREAM), valkey().xlen(usage_stream.REFUSED_STREAM)) == (0, 0)
