"""When the credits or a spend cap end: grace, suspended, and back on the same URL once somebody pays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from billing.caps import review_caps
from billing.funding import review_times
from billing.grants import grant_credits
from billing.metering import meter
from billing.models import CapPeriod, Funding, FundingChange, GrantSource, Notice, Posting, SpendCap, Unit, Wallet
from billing.runs import RunsUsed, charge_runs
from billing.verdicts import verdict_on
from controlplane.accounts.models import User
from controlplane.common.errors import PaymentRequired
from controlplane.common.ids import uuid7
from deployments.funding import compare_all, follow_funding
from deployments.paying import wallet_id_of
from deployments.services import resume_deployment
from deployments.states import Status
from tests.billing.spending import SERVERLESS, make_billed
from tests.deployments.builders import deploy
from tests.deployments.conftest import Clock
from tests.deployments.paying import HELD, RATE, Settle, charged, fund, pass_time, route, standing
from tests.fakes.provider import FakeProvider

pytestmark = pytest.mark.usefixtures("paying")


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


def test_free_runs_keep_serverless_open_and_pay_for_no_instance(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 1200)
    deployment = settle(deploy(owner))
    wallet = wallet_id_of(deployment)
    grant_credits(wallet_id=wallet, amount=1, key="hits", unit=Unit.HIT, source=GrantSource.PLAN)
    product, rate = SERVERLESS
    serverless = make_billed(Wallet.objects.get(pk=wallet))

    deployment = pass_time(moving_clock, settle, deployment, 360)
    assert Wallet.objects.get().funding == Funding.GRACE
    assert "1 free runs are left" in Notice.objects.get(kind="EMPTY").detail
    assert verdict_on(wallet).stop(serverless.pk, instance=False) is None
    charge_runs([RunsUsed(serverless.pk, product, rate, moving_clock.now, 1, 1000, str(uuid7()))], one_by_one={serverless.pk})
    assert FundingChange.objects.count() == 1
    assert verdict_on(wallet).stop(serverless.pk, instance=False) is not None

    deployment = pass_time(moving_clock, settle, deployment, 960)
    assert deployment.status == Status.SUSPENDED
    assert sum(Posting.objects.filter(source=5).values_list("amount", flat=True)) <= 90 * RATE


def test_instances_end_though_free_runs_are_left(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 1200)
    deployment = settle(deploy(owner))
    wallet = wallet_id_of(deployment)
    grant_credits(wallet_id=wallet, amount=2000, key="hits", unit=Unit.HIT, source=GrantSource.PLAN)

    deployment = pass_time(moving_clock, settle, deployment, 3600)

    assert deployment.status == Status.SUSPENDED
    assert not cloud.names()
    assert sum(Posting.objects.filter(source=5).values_list("amount", flat=True)) <= 90 * RATE
    assert Wallet.objects.get().funding == Funding.FUNDED
    with pytest.raises(PaymentRequired):
        resume_deployment(actor=owner, deployment_id=deployment.pk)
    assert not cloud.names()


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
