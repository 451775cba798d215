"""Who pays for instances: reserved before the start, charged by the second, stopped when the credits end, and back on the same URL."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from pytest_django import Settings
from rest_framework.test import APIClient

from billing.balances import standing_of
from billing.caps import review_caps
from billing.funding import review_times
from billing.grants import grant_credits
from billing.metering import meter
from billing.models import (
    CapPeriod,
    Funding,
    FundingChange,
    GrantSource,
    Hold,
    LedgerEntry,
    MeteredResource,
    Notice,
    Posting,
    SpendCap,
    Wallet,
)
from controlplane.accounts.models import User
from controlplane.common.errors import PaymentRequired
from controlplane.common.valkey import valkey
from deployments.funding import compare_all, follow_funding
from deployments.models import Deployment, Replica
from deployments.paying import register_missing, wallet_id_of
from deployments.reconcile.leaving import STUCK_AFTER
from deployments.reconcile.loop import reconcile
from deployments.routing import route_key
from deployments.services import configure_deployment, delete_deployment, pause_deployment, resume_deployment, update_deployment
from deployments.states import Status
from tests.deployments.builders import deploy, make_workflow, push
from tests.deployments.conftest import Clock
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]
# AWS CLUSTER M: micro-credits a second, and what 15 minutes of it are.
RATE = 15_320
HELD = RATE * 900


@pytest.fixture(autouse=True)
def paying(settings: Settings) -> None:
    """Workspaces on a plan without limits and without credits of its own."""
    settings.PERSONAL_PLAN = "custom"


@pytest.fixture(autouse=True)
def no_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep hints of billing out of the broker: tests follow the word themselves."""
    monkeypatch.setattr("billing.funding.send_task", lambda *_, **__: None)


def fund(user: User, seconds: int, rate: int = RATE) -> None:
    """Give a user's workspace credits for so many seconds."""
    from billing.wallets import wallet_of

    wallet = wallet_of(user.namespaces.get(parent=None))
    grant_credits(wallet_id=wallet.pk, amount=seconds * rate, key=str(uuid4()), source=GrantSource.OPERATOR)


def pass_time(clock: Clock, settle: Settle, deployment: Deployment, seconds: float) -> Deployment:
    """Let time pass minute by minute, with a meter and everybody who follows it."""
    while seconds > 0:
        clock.advance(min(60, seconds))
        seconds -= 60
        meter()
        review_times()
        follow_funding()
        deployment = settle(deployment)
    return deployment


def standing(deployment: Deployment) -> tuple[int, int]:
    found = standing_of(wallet_id_of(deployment))
    return found.balance, found.held


def charged(deployment: Deployment) -> int:
    return sum(LedgerEntry.objects.filter(kind="CHARGE", deployment_id=deployment.pk).values_list("amount", flat=True))


def route(deployment: Deployment) -> dict[str, Any]:
    text: Any = valkey().get(route_key(deployment.slug))
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_start_reserves_fifteen_minutes_and_seconds_are_charged_from_the_providers_start(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 3600)
    deployment = settle(deploy(owner))
    assert standing(deployment) == (3600 * RATE, HELD)
    began = cloud.billed[cloud.names()[0]]

    moving_clock.now = began + timedelta(seconds=1000.7)
    meter()

    entry = LedgerEntry.objects.get(kind="CHARGE")
    assert (entry.quantity, entry.amount, entry.from_at, entry.to_at) == (1000, 1000 * RATE, began, began + timedelta(seconds=1000))
    assert entry.price is not None
    assert (entry.deployment_id, entry.price.code, entry.price.micro_credits) == (deployment.pk, "AWS CLUSTER M", RATE)
    posting = Posting.objects.get(entry=entry)
    assert posting.grant is not None
    assert posting.grant.source == GrantSource.OPERATOR
    assert standing(deployment) == (2600 * RATE, HELD)


def test_the_confirmed_stop_ends_the_charge_and_frees_what_was_reserved(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 3600)
    deployment = settle(deploy(owner))
    began = cloud.billed[cloud.names()[0]]
    moving_clock.advance(100)
    delete_deployment(actor=owner, deployment_id=deployment.pk)

    deployment = settle(deployment)

    replica = Replica.objects.get()
    assert (deployment.status, replica.status) == (Status.DELETED, "TERMINATED")
    assert replica.billed_until is not None
    seconds = int((replica.billed_until - began).total_seconds())
    assert charged(deployment) == seconds * RATE > 0
    assert standing(deployment)[1] == 0
    assert MeteredResource.objects.get().closed_at is not None


def test_without_credits_nothing_starts_and_the_refusal_says_what_is_missing(
    owner: User, cloud: FakeProvider, api: Callable[..., APIClient]
) -> None:
    fund(owner, 600)
    workflow = make_workflow(owner)

    body = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "M"}
    answer = api(owner).post(f"/v1/workflows/{workflow.pk}/deployments/", body)

    assert answer.status_code == 402
    assert answer.json()["code"] == "no_credits"
    assert answer.json()["fields"] == {"required": HELD, "available": 600 * RATE, "missing": 300 * RATE}
    assert "13.788 credits (15 minutes), and 9.192 are available: 4.596 are missing" in answer.json()["detail"]
    assert not Deployment.objects.exists()
    assert not Hold.objects.exists()
    assert not cloud.names()


def test_a_serverless_deployment_needs_some_credits(owner: User, cloud: FakeProvider) -> None:
    with pytest.raises(PaymentRequired, match="The workspace has no credits"):
        deploy(owner, flavour="SERVERLESS")

    assert not Deployment.objects.exists()


def test_of_many_at_once_as_many_start_as_there_are_credits_for(owner: User, cloud: FakeProvider) -> None:
    fund(owner, 2 * 900 + 10)
    workflow = make_workflow(owner)

    def ask(_: int) -> str:
        try:
            deploy(owner, workflow=workflow)
        except PaymentRequired as refusal:
            return refusal.code
        finally:
            connection.close()
        return "accepted"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))

    assert sorted(set(answers)) == ["accepted", "no_credits"]
    assert answers.count("accepted") == 2 == Deployment.objects.count()
    assert Hold.objects.filter(released_at=None).count() == 2


def test_at_the_end_of_the_credits_an_instance_gets_its_grace_and_is_suspended(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 1200)
    deployment = settle(deploy(owner))
    slug = deployment.slug

    deployment = pass_time(moving_clock, settle, deployment, 360)
    assert Wallet.objects.get().funding == Funding.GRACE
    assert (deployment.status, deployment.stop_code) == (Status.RUNNING, "")
    assert route(deployment)["replicas"]

    deployment = pass_time(moving_clock, settle, deployment, 960)
    assert Wallet.objects.get().funding == Funding.EXHAUSTED
    assert (deployment.status, deployment.reason_code, deployment.slug) == (Status.SUSPENDED, "NO_CREDITS", slug)
    assert not cloud.names()
    found = route(deployment)
    assert (found["status"], found["replicas"]) == ("SUSPENDED", [])
    balance, held = standing(deployment)
    assert balance >= 0
    assert held == 0
    assert charged(deployment) == sum(Posting.objects.filter(target=2).values_list("amount", flat=True))
    assert list(Notice.objects.order_by("pk").values_list("kind", flat=True))[-2:] == ["EMPTY", "SUSPENDED"]
    borne = sum(Posting.objects.filter(source=5).values_list("amount", flat=True))
    assert borne <= 90 * RATE


def test_credits_that_come_in_the_grace_end_nothing(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 1200)
    deployment = settle(deploy(owner))
    deployment = pass_time(moving_clock, settle, deployment, 600)
    name = cloud.names()
    fund(owner, 7200)

    deployment = pass_time(moving_clock, settle, deployment, 1800)

    assert Wallet.objects.get().funding == Funding.FUNDED
    assert (deployment.status, cloud.names()) == (Status.RUNNING, name)


def test_a_suspended_deployment_is_resumed_by_one_action_on_the_same_url(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 1200)
    deployment = settle(deploy(owner))
    endpoint = deployment.endpoint
    deployment = pass_time(moving_clock, settle, deployment, 1500)
    assert deployment.status == Status.SUSPENDED
    with pytest.raises(PaymentRequired, match="Add credits"):
        resume_deployment(actor=owner, deployment_id=deployment.pk)
    assert settle(deployment).status == Status.SUSPENDED

    fund(owner, 3600)
    follow_funding()
    assert settle(deployment).status == Status.SUSPENDED
    resume_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)

    assert (deployment.status, deployment.endpoint) == (Status.RUNNING, endpoint)
    assert route(deployment)["replicas"]
    assert standing(deployment)[1] == HELD


def test_all_that_was_suspended_is_resumed_by_one_action_as_far_as_credits_go(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock, api: Callable[..., APIClient], stranger: User
) -> None:
    fund(owner, 2400)
    made = [settle(deploy(owner)) for _ in range(2)]
    for _ in range(25):
        made = [pass_time(moving_clock, settle, one, 30) for one in made]
    assert [one.status for one in made] == [Status.SUSPENDED] * 2
    fund(owner, 1000)
    follow_funding()
    address = f"/v1/namespaces/{owner.namespaces.get(parent=None).pk}/resume/"

    assert api(stranger).post(address).status_code == 404
    assert [settle(one).status for one in made] == [Status.SUSPENDED] * 2
    answer = api(owner).post(address)

    assert answer.status_code == 202
    [resumed], [refused] = answer.json()["resumed"], answer.json()["refused"]
    assert (resumed["uid"], refused["code"]) == (str(made[0].pk), "no_credits")
    assert "are missing. Add credits" in refused["detail"]
    assert [settle(one).status for one in made] == [Status.RUNNING, Status.SUSPENDED]


def test_a_serverless_endpoint_is_blocked_at_once_and_opens_with_new_credits(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 1000, rate=829)
    deployment = settle(deploy(owner, flavour="SERVERLESS"))
    wallet = wallet_id_of(deployment)
    from billing.grants import take_back
    from billing.models import Grant

    take_back(grant_id=Grant.objects.get().pk, amount=829_000, key="all", reason="test")
    follow_funding()

    assert Wallet.objects.get(pk=wallet).funding == Funding.GRACE
    assert settle(deployment).status == Status.RUNNING
    assert route(deployment)["stop"] == {"code": "NO_CREDITS", "detail": "The workspace has no credits left."}

    fund(owner, 10)
    follow_funding()
    assert route(deployment)["stop"] is None


def test_where_operators_want_it_instances_without_credits_are_deleted(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock, settings: Settings
) -> None:
    settings.CREDIT_EXHAUSTION = "delete"
    fund(owner, 1000)
    deployment = settle(deploy(owner))

    deployment = pass_time(moving_clock, settle, deployment, 1500)

    assert deployment.status == Status.DELETED
    assert not cloud.names()


def test_a_start_that_fails_costs_nothing(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 7200)
    cloud.fail_with = "The workflow cannot be loaded."
    deployment = settle(deploy(owner))
    assert deployment.status == Status.ERROR

    moving_clock.advance(3600)
    meter()

    assert charged(deployment) == 0
    assert standing(deployment) == (7200 * RATE, 0)


def test_an_instance_that_breaks_is_charged_until_then(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 7200)
    deployment = settle(deploy(owner))
    first = cloud.names()[0]
    began = cloud.billed[first]
    moving_clock.advance(300)
    cloud.failing.add(first)
    cloud.looks_until_gone = 50
    broke = moving_clock.now
    reconcile(deployment.pk)
    moving_clock.advance(600)
    meter()

    resource = MeteredResource.objects.get(pk=Replica.objects.get(name=first).pk)
    assert (resource.cut_off, resource.ending_at) == (True, broke)
    entries = LedgerEntry.objects.filter(kind="CHARGE", key__endswith=f":{resource.pk}")
    assert sum(quantity or 0 for quantity in entries.values_list("quantity", flat=True)) == int((broke - began).total_seconds())


def test_a_stuck_instance_costs_nothing_from_the_moment_it_was_to_go(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 36_000)
    deployment = settle(deploy(owner))
    began = cloud.billed[cloud.names()[0]]
    moving_clock.advance(300)
    cloud.looks_until_gone = 10_000
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    for _ in range(90):
        reconcile(deployment.pk)
        moving_clock.advance(15)
        meter()
    replica = Replica.objects.get()
    assert replica.stuck_since is not None
    assert replica.terminating_since is not None
    assert moving_clock.now - replica.terminating_since > STUCK_AFTER

    cloud.leaving[replica.name] = 0
    settle(deployment, longest=3600)

    until = int((replica.terminating_since - began).total_seconds())
    assert charged(deployment) == until * RATE
    assert standing(deployment)[1] == 0


def test_a_reached_cap_suspends_and_a_higher_one_lets_it_be_resumed(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 36_000)
    deployment = settle(deploy(owner))
    wallet = wallet_id_of(deployment)
    cap = SpendCap.objects.create(wallet_id=wallet, deployment_id=deployment.pk, period=CapPeriod.TOTAL, amount=600 * RATE)

    deployment = pass_time(moving_clock, settle, deployment, 660)

    assert (deployment.status, deployment.reason_code) == (Status.SUSPENDED, "SPEND_CAP")
    assert deployment.reason_detail == "Its spend cap of 9.192 credits in all is reached."
    with pytest.raises(PaymentRequired, match="Raise or remove the cap"):
        resume_deployment(actor=owner, deployment_id=deployment.pk)
    SpendCap.objects.filter(pk=cap.pk).update(amount=6000 * RATE)
    review_caps([wallet])
    follow_funding()
    resume_deployment(actor=owner, deployment_id=deployment.pk)
    assert settle(deployment).status == Status.RUNNING


def test_a_pause_frees_what_is_reserved_and_a_resume_needs_it_again(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 1000)
    deployment = settle(deploy(owner))
    moving_clock.advance(300)
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)
    assert (deployment.status, standing(deployment)[1]) == (Status.PAUSED, 0)

    with pytest.raises(PaymentRequired):
        resume_deployment(actor=owner, deployment_id=deployment.pk)

    deployment = settle(deployment)
    assert (deployment.status, deployment.desired_state, standing(deployment)[1]) == (Status.PAUSED, "PAUSED", 0)


def test_an_update_needs_credits_for_both_versions(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 1700)
    workflow = make_workflow(owner)
    deployment = settle(deploy(owner, workflow=workflow))
    push(workflow)

    with pytest.raises(PaymentRequired, match="are reserved for what runs"):
        update_deployment(actor=owner, deployment_id=deployment.pk)

    assert settle(deployment).revision == 1
    fund(owner, 900)
    update_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)
    assert (deployment.status, deployment.served_revision) == (Status.RUNNING, 2)
    assert standing(deployment)[1] == HELD


def test_replicas_are_added_as_far_as_credits_go(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    fund(owner, 2000)
    deployment = settle(deploy(owner))
    configure_deployment(actor=owner, deployment_id=deployment.pk, min_replicas=3, max_replicas=3)

    deployment = settle(deployment)

    assert len(cloud.names()) == 2
    assert (deployment.status, deployment.reason_code) == (Status.RUNNING, "NO_CREDITS")
    assert standing(deployment)[1] == 2 * HELD


def test_instances_from_before_there_was_a_meter_are_charged_from_then_on(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 36_000)
    deployment = settle(deploy(owner))
    opened = moving_clock.now
    Hold.objects.all().delete()
    MeteredResource.objects.all().delete()
    Wallet.objects.update(created_at=opened)
    moving_clock.advance(100)

    assert (register_missing(), register_missing()) == (1, 0)
    meter()

    assert charged(deployment) == 100 * RATE
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    assert settle(deployment).status == Status.PAUSED
    assert MeteredResource.objects.get().closed_at is not None


def test_meters_that_work_at_once_charge_each_second_once(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 36_000)
    deployment = settle(deploy(owner))
    began = cloud.billed[cloud.names()[0]]
    moving_clock.now = began + timedelta(seconds=777)

    def work(_: int) -> None:
        meter()
        connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))

    assert charged(deployment) == 777 * RATE


def test_word_that_is_lost_is_made_up_for(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 1000)
    deployment = settle(deploy(owner))
    moving_clock.advance(120)
    meter()
    moving_clock.advance(1000)
    meter()
    review_times()
    FundingChange.objects.all().delete()
    assert Wallet.objects.get().funding == Funding.EXHAUSTED

    assert compare_all() == 1

    assert settle(deployment).status == Status.SUSPENDED
