"""Payments over the API: who may, what is answered, and that a refusal asks Stripe for nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from billing.models import Subscription, Wallet
from controlplane.accounts.models import User
from controlplane.audit.models import AuditEntry
from controlplane.workspaces.members import give_role
from controlplane.workspaces.models import Namespace, Organization
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_namespace
from tests.billing.stripe.shop import Shop, credits_of, customer, standing, undone, wallet
from tests.factories import make_member, make_user

Api = Callable[..., APIClient]
CHANGES = ("checkout", "portal", "plan", "cancel", "reactivate")
STARTER, PRO = {"plan": "starter-monthly"}, {"plan": "pro-monthly"}


def route(workspace: Namespace, what: str) -> str:
    """The path of a route."""
    return f"/v1/namespaces/{workspace.pk}/billing/{what}/"


def test_an_owner_buys_changes_cancels_and_stays(shop: Shop, api: Api, mei: User, root: Namespace) -> None:
    ask = api(mei)
    bought = ask.post(route(root, "checkout"), {**STARTER, "success_url": "http://127.0.0.1:8000/settings/?paid=1"})
    assert bought.status_code == 200
    shop.fake.pay(bought.json()["url"])
    shop.deliver()
    assert ask.post(route(root, "portal")).json()["url"].startswith(shop.fake.url)
    assert ask.post(route(root, "plan"), PRO).json()["plan"] == "pro-monthly"
    cancelled = ask.post(route(root, "cancel")).json()
    assert (cancelled["status"], cancelled["current_period_end"]) == ("CANCELLING", "2026-02-28T10:00:00Z")
    assert ask.post(route(root, "reactivate")).json()["status"] == "ACTIVE"
    rows = ask.get(route(root, "invoices")).json()["results"]
    assert [(row["amount"], row["status"]) for row in rows] == [(79_990, "paid"), (1990, "paid")]
    assert rows[0]["lines"][0]["start"] == "2026-01-31T10:00:00Z"
    told = AuditEntry.objects.filter(action__startswith="billing.", actor_id=mei.pk).order_by("sequence")
    assert list(told.values_list("action", flat=True)) == [
        "billing.checkout",
        "billing.change_plan",
        "billing.cancel",
        "billing.reactivate",
    ]


@pytest.mark.parametrize("role", [Role.PARTNER, Role.MEMBER, Role.MANAGER])
def test_nobody_but_owners_changes_what_is_paid(shop: Shop, api: Api, organization: Organization, root: Namespace, role: Role) -> None:
    ask = api(make_member(organization, role))
    asked = len(shop.fake.requests)
    statuses = {ask.post(route(root, what), PRO).status_code for what in CHANGES}
    assert statuses == ({404} if role == Role.PARTNER else {403})
    assert len(shop.fake.requests) == asked
    assert not Wallet.objects.filter(workspace_id=organization.pk).exists()


def test_managers_see_invoices_and_members_do_not(shop: Shop, api: Api, mei: User, organization: Organization, root: Namespace) -> None:
    shop.buy(mei, root)
    assert api(make_member(organization, Role.MANAGER)).get(route(root, "invoices")).json()["count"] == 1
    assert api(make_member(organization, Role.MEMBER)).get(route(root, "invoices")).status_code == 403
    assert api(make_user()).get(route(root, "invoices")).status_code == 404


def test_a_role_on_a_part_of_the_workspace_says_nothing_about_its_money(
    shop: Shop, api: Api, mei: User, organization: Organization, root: Namespace
) -> None:
    inner = create_namespace(actor=mei, parent_id=root.pk, name="inner")
    colleague = make_member(organization, Role.MEMBER)
    give_role(actor=mei, target=inner, user_id=colleague.pk, role=Role.OWNER)
    assert api(colleague).post(route(inner, "checkout"), STARTER).status_code == 403
    assert api(mei).post(route(inner, "checkout"), STARTER).status_code == 200
    assert wallet(root).workspace_id == organization.pk


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("checkout", {}),
        ("checkout", {"plan": 7}),
        ("checkout", {"plan": "free"}),
        ("checkout", {"plan": "x" * 41}),
        ("checkout", {**STARTER, "success_url": 7}),
        ("checkout", {**STARTER, "cancel_url": "https://evil.example.com/"}),
        ("checkout", {**STARTER, "success_url": "http://[::1"}),
        ("checkout", {**STARTER, "success_url": "http://127.0.0.1:8000\uff0fsettings/"}),
        ("checkout", {**STARTER, "success_url": "http://127.0.0.1:8000@evil.example.com/"}),
        ("portal", {"return_url": "https://evil.example.com/"}),
        ("plan", {"plan": None}),
    ],
)
def test_input_that_is_not_right_is_refused(shop: Shop, api: Api, mei: User, root: Namespace, what: str, body: dict[str, Any]) -> None:
    asked = len(shop.fake.requests)
    assert api(mei).post(route(root, what), body).status_code == 400
    assert len(shop.fake.requests) == asked


def test_refusals_say_what_to_do(shop: Shop, api: Api, mei: User, root: Namespace) -> None:
    ask = api(mei)
    for what in ("portal", "plan", "cancel", "reactivate"):
        answer = ask.post(route(root, what), PRO)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_subscription")
    shop.buy(mei, root)
    again = ask.post(route(root, "checkout"), PRO)
    assert (again.status_code, again.json()["code"]) == (409, "already_subscribed")
    shop.fake.let_card_fail(customer(root))
    refused = ask.post(route(root, "plan"), PRO)
    assert (refused.status_code, refused.json()["code"]) == (402, "card_refused")
    shop.fake.faults.fail("GET", "/v1/subscriptions")
    away = ask.post(route(root, "cancel"))
    assert (away.status_code, away.json()["code"]) == (503, "payments_unavailable")
    assert standing(root) == ("starter-monthly", "ACTIVE")


def test_an_organization_is_not_deleted_while_it_would_be_paid_for_again(
    shop: Shop, api: Api, mei: User, organization: Organization, root: Namespace
) -> None:
    shop.buy(mei, root)
    path = f"/v1/organizations/{organization.pk}/"
    refused = api(mei).delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "subscription_goes_on")
    assert Organization.objects.filter(pk=organization.pk).exists()
    api(mei).post(route(root, "cancel"))
    assert api(mei).delete(path).status_code == 204
    shop.advance(days=40)
    assert undone() == 0
    assert not Subscription.objects.filter(wallet__workspace_id=organization.pk).exclude(status="ENDED").exists()


def test_a_request_with_a_key_is_carried_out_once(shop: Shop, api: Api, mei: User, root: Namespace) -> None:
    shop.buy(mei, root)
    shop.advance(days=10)
    ask = api(mei)
    key = "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11"
    first, again = (ask.post(route(root, "plan"), PRO, HTTP_IDEMPOTENCY_KEY=key) for _ in range(2))
    assert (first.json(), again["Idempotency-Replayed"]) == (again.json(), "true")
    assert credits_of(root) == [2000, 80_000]


def test_without_keys_the_service_says_that_its_operator_grants_credits(api: Api, user: User, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    root = user.namespaces.get(parent=None)
    for what in CHANGES:
        answer = api(user).post(route(root, what), STARTER)
        assert (answer.status_code, answer.json()["code"]) == (409, "payments_not_configured")
        assert "operator grants credits" in answer.json()["detail"]
    assert api(user).get(route(root, "invoices")).json()["count"] == 0


def test_the_command_makes_prices_and_says_so(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("stripe_sync_plans")
    assert "starter-monthly: as it was" in capsys.readouterr().out


def test_the_command_says_what_is_missing(db: None, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    with pytest.raises(CommandError, match="operator grants credits"):
        call_command("stripe_sync_plans")
