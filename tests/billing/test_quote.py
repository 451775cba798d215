"""A quote says before a deployment what the deployment would say, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from billing.caps import set_cap
from billing.grants import grant_credits
from billing.holds import held_for
from billing.models import GrantSource, Hold, Unit, Wallet
from billing.plans import plan_by_code
from billing.subscriptions import begin_subscription
from controlplane.accounts.models import User
from controlplane.common.errors import SlipwayError
from controlplane.workspaces.roles import Role
from deployments.offers import offer_of
from deployments.services import request_deployment
from tests.billing.spending import CREDIT, make_billed, run_instance, spend_credits
from tests.deployments.conftest import Clock
from tests.factories import make_member, make_organization, make_project, make_workflow
from tests.permissions.world import snapshot

Api = Callable[..., APIClient]
Quote = Callable[..., Any]
CLUSTER = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "M"}
SERVERLESS = {**CLUSTER, "flavour": "SERVERLESS"}
GPU = {"provider": "SCALEWAY", "region": "FRANCE", "flavour": "GPU", "size": "M"}


@pytest.fixture(autouse=True)
def no_wakeups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep hints out of the broker."""
    monkeypatch.setattr("deployments.wakeups.send_wakeup", lambda pk, **_: None)


@pytest.fixture
def quote(api: Api, payer: User) -> Quote:
    """Return `quote(size="L")`: what the owner is answered for an instance in France."""
    client, root = api(payer), payer.namespaces.get(parent=None)

    def ask(**query: Any) -> Any:
        answer = client.get(f"/v1/namespaces/{root.pk}/quote/", {**CLUSTER, **query})
        assert answer.status_code == 200, answer.content
        return answer.json()

    return ask


def codes(found: dict[str, Any]) -> list[str]:
    return [refusal["code"] for refusal in found["refusals"]]


def test_an_instance_is_priced_by_the_hour(wallet: Wallet, quote: Quote, moving_clock: Clock) -> None:
    found = quote()

    rate = offer_of(provider="AWS", flavour="CLUSTER", size="M").price.micro_credits
    assert (found["product"], found["price"]["micro_credits"], found["price"]["unit"]) == ("AWS CLUSTER M", rate, "s")
    assert (found["micro_credits_an_hour"], found["micro_credits_a_thousand_runs"]) == (rate * 3600, 0)
    assert (found["reserved"], found["available"], found["missing"]) == (rate * 900, 500 * CREDIT, 0)
    assert (found["can_start"], found["refusals"], found["plan"], found["in_plan"], found["deployments_left"]) == (
        True,
        [],
        "free",
        True,
        1,
    )
    assert (found["lasts_until_now"], found["runs_left"], found["min_replicas"]) == (None, None, 1)
    lasts = datetime.fromisoformat(found["lasts_until"]) - moving_clock.now
    assert lasts == timedelta(microseconds=-(-500 * CREDIT * 10**6 // rate))


def test_several_instances_cost_several_times_as_much(wallet: Wallet, quote: Quote) -> None:
    one, three = quote(), quote(min_replicas=3)

    for name in ("micro_credits_an_hour", "reserved"):
        assert three[name] == 3 * one[name]


def test_serverless_is_priced_by_the_run(wallet: Wallet, quote: Quote) -> None:
    rate = offer_of(provider="AWS", flavour="SERVERLESS", size="S").price.micro_credits
    grant_credits(wallet_id=wallet.pk, amount=7, key="hits", source=GrantSource.OPERATOR, unit=Unit.HIT)

    found = quote(**{**SERVERLESS, "size": "S", "run_ms": 16_000})

    assert (found["micro_credits_an_hour"], found["reserved"], found["min_replicas"]) == (0, 0, 0)
    assert found["micro_credits_a_thousand_runs"] == 16_000 * rate * 1000
    assert found["runs_left"] == 7 + 500 * CREDIT // (16_000 * rate)
    assert (found["lasts_until_now"], found["lasts_until"]) == (None, None)


def test_what_runs_already_counts(wallet: Wallet, quote: Quote, moving_clock: Clock) -> None:
    run_instance(make_billed(wallet))

    found = quote(size="XS")

    now, then = (datetime.fromisoformat(found[name]) - moving_clock.now for name in ("lasts_until_now", "lasts_until"))
    assert abs(now - 2 * then) < timedelta(seconds=1)


def test_too_few_credits_say_how_many_are_missing(wallet: Wallet, quote: Quote) -> None:
    spend_credits(make_billed(wallet), 498)
    reserved = held_for(offer_of(provider="AWS", flavour="CLUSTER", size="M").price)

    found = quote()

    assert (found["can_start"], codes(found), found["missing"]) == (False, ["no_credits"], reserved - 2 * CREDIT)
    assert "are missing" in found["refusals"][0]["detail"]
    assert quote(**SERVERLESS)["can_start"] is True


def test_no_credits_at_all_start_nothing(wallet: Wallet, quote: Quote) -> None:
    spend_credits(make_billed(wallet), 500)

    found = quote(**SERVERLESS)

    assert (found["can_start"], codes(found), found["missing"], found["runs_left"]) == (False, ["no_credits"], 1, 0)


def test_all_that_stands_in_the_way_is_told_at_once(wallet: Wallet, payer: User, quote: Quote) -> None:
    begin_subscription(wallet=wallet, plan=plan_by_code("free"))
    set_cap(actor=payer, namespace_id=payer.namespaces.get(parent=None).pk, deployment_id=None, period="MONTH", amount=CREDIT)
    workflow = make_workflow(make_project(payer), user=payer)
    request_deployment(actor=payer, workflow_id=workflow.pk, **CLUSTER)
    spend_credits(make_billed(wallet), 500)

    found = quote(**GPU)

    assert codes(found) == ["quota_reached", "spend_cap_reached", "not_in_plan", "no_credits"]
    assert (found["can_start"], found["in_plan"], found["deployments_left"]) == (False, False, 0)


def test_a_plan_without_limits_lasts_for_ever(api: Api, user: User, moving_clock: Clock) -> None:
    found = api(user).get(f"/v1/namespaces/{user.namespaces.get(parent=None).pk}/quote/", CLUSTER).json()

    assert (found["plan"], found["can_start"], found["deployments_left"], found["lasts_until"]) == ("internal", True, None, None)


def test_an_organization_without_a_plan_is_told_what_it_takes(api: Api, payer: User, settings: Any) -> None:
    settings.ORGANIZATION_PLAN = ""
    root = make_organization(payer).namespaces.get()

    found = api(payer).get(f"/v1/namespaces/{root.pk}/quote/", CLUSTER).json()

    assert (found["plan"], found["can_start"], found["in_plan"]) == (None, False, False)
    assert codes(found) == ["quota_reached", "not_in_plan", "no_credits"]
    details = [refusal["detail"] for refusal in found["refusals"]]
    assert details[0] == "Deployments need a plan, and this organization has none. Choose the plan Starter, which allows 3."
    assert "Choose the plan Starter first." in details[1]


def test_an_organization_without_a_plan_is_told_so_too_where_people_have_no_limit(api: Api, payer: User, settings: Any) -> None:
    settings.PERSONAL_PLAN, settings.ORGANIZATION_PLAN = "internal", ""
    root = make_organization(payer).namespaces.get()

    found = api(payer).get(f"/v1/namespaces/{root.pk}/quote/", CLUSTER).json()

    assert found["refusals"][0]["detail"].endswith("Choose the plan Starter, which allows 3.")


@pytest.mark.parametrize("spent", [0, 496, 499, 500])
@pytest.mark.parametrize("offer", [CLUSTER, SERVERLESS, GPU], ids=lambda offer: offer["flavour"])
@pytest.mark.parametrize("capped", [False, True])
def test_a_quote_says_what_the_deployment_says(
    wallet: Wallet, payer: User, quote: Quote, spent: int, offer: dict[str, str], capped: bool
) -> None:
    if capped:
        root = payer.namespaces.get(parent=None)
        set_cap(actor=payer, namespace_id=root.pk, deployment_id=None, period="TOTAL", amount=498 * CREDIT)
    if spent:
        spend_credits(make_billed(wallet), spent)
    found = quote(**offer)

    refusal = refused(payer, offer)

    if refusal is None:
        assert found["can_start"]
        assert sum(Hold.objects.values_list("amount", flat=True)) == found["reserved"]
    else:
        assert not found["can_start"]
        assert {"code": refusal.code, "detail": refusal.detail} in found["refusals"]


def refused(payer: User, offer: dict[str, str]) -> SlipwayError | None:
    """Return what a real deployment meets."""
    workflow = make_workflow(make_project(payer), user=payer)
    try:
        request_deployment(actor=payer, workflow_id=workflow.pk, **offer)
    except SlipwayError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"size": "XXL"}, "size"),
        ({"provider": "GCP", "flavour": "SERVERLESS"}, "flavour"),
        ({"min_replicas": 0}, "min_replicas"),
        ({"min_replicas": -1}, "min_replicas"),
        ({"run_ms": 0}, "run_ms"),
        ({"region": ""}, "region"),
    ],
)
def test_what_there_is_not_has_no_price(api: Api, payer: User, query: dict[str, Any], field: str) -> None:
    answer = api(payer).get(f"/v1/namespaces/{payer.namespaces.get(parent=None).pk}/quote/", {**CLUSTER, **query})

    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])


def test_a_provider_that_is_none_is_answered_with_those_there_are(api: Api, payer: User) -> None:
    answer = api(payer).get(f"/v1/namespaces/{payer.namespaces.get(parent=None).pk}/quote/", {**CLUSTER, "provider": "FOO"})

    assert answer.json()["fields"] == {"provider": ['"FOO" is none of: AWS, GCP, SCALEWAY, SCALEWAY_VIA_SCALEDYNAMICS.']}


def test_who_may_not_deploy_gets_no_quote(api: Api, payer: User, stranger: User) -> None:
    organization = make_organization(payer)
    address = f"/v1/namespaces/{organization.namespaces.get().pk}/quote/"

    assert api(stranger).get(address, CLUSTER).status_code == 404
    assert api(make_member(organization, Role.MEMBER)).get(address, CLUSTER).status_code == 403
    assert api(make_member(organization, Role.MANAGER)).get(address, CLUSTER).status_code == 200


def test_a_quote_changes_nothing(wallet: Wallet, quote: Quote) -> None:
    quote()
    before = snapshot()

    quote(min_replicas=2)

    assert snapshot() == before
