"""What goes wrong between this service and Stripe, and what is left of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from billing.models import Plan, StripeEvent, StripeSync, Subscription, Wallet
from billing.stripe import access, client, tasks
from billing.stripe import reconcile as reconciling
from billing.stripe.applying import apply_state, sync_wallet, take_ticket
from billing.stripe.buying import start_checkout
from billing.stripe.changes import change_plan
from billing.stripe.errors import NotConfigured, NotPriced, StripeUnavailable, WrongAccount
from billing.stripe.reconcile import reconcile
from controlplane.accounts.models import User
from controlplane.workspaces.models import Namespace
from tests.billing.stripe.shop import Shop, credits_of, customer, everything, notices, present, standing, wallet
from tests.factories import make_user
from tests.fakes.stripe import SECRET_KEY
from tests.fakes.stripe.subscriptions import begin

PRO = {"plan_code": "pro-monthly"}
CHANGE = r"/v1/subscriptions/sub_\d+"


@pytest.fixture
def subscribed(shop: Shop, mei: User, workspace: Namespace) -> Namespace:
    """A workspace with a subscription, ten days old."""
    shop.buy(mei, workspace)
    shop.advance(days=10)
    return workspace


def charged(shop: Shop) -> list[int]:
    """What was paid, in cents, the oldest first."""
    return [invoice["amount_paid"] for invoice in reversed(shop.fake.account.all("invoice"))]


@pytest.mark.parametrize("after", [False, True], ids=["before it was done", "after it was done"])
@pytest.mark.parametrize("how", ["500", "429", "closed", "silent"])
def test_a_change_that_stripe_does_not_answer_is_paid_once_when_it_is_asked_again(
    shop: Shop, mei: User, subscribed: Namespace, monkeypatch: pytest.MonkeyPatch, how: str, after: bool
) -> None:
    faults = shop.fake.faults
    if how == "closed":
        faults.close("POST", CHANGE, after=after)
    elif how == "silent":
        monkeypatch.setattr(access.stripe_api().http, "_timeout", (1, 0.3))
        faults.hang("POST", CHANGE, seconds=1, after=after)
    else:
        faults.fail("POST", CHANGE, status=int(how), after=after)
    with pytest.raises(StripeUnavailable):
        change_plan(actor=mei, namespace_id=subscribed.pk, **PRO)
    monkeypatch.setattr(access.stripe_api().http, "_timeout", 5)
    assert change_plan(actor=mei, namespace_id=subscribed.pk, **PRO).plan.code == "pro-monthly"
    assert charged(shop) == [1990, 79_990]
    assert credits_of(subscribed) == [2000, 80_000]


def test_what_a_change_has_done_is_found_without_anybody_asking_again(shop: Shop, mei: User, subscribed: Namespace) -> None:
    shop.fake.faults.close("POST", CHANGE, after=True)
    with pytest.raises(StripeUnavailable):
        change_plan(actor=mei, namespace_id=subscribed.pk, **PRO)
    assert standing(subscribed) == ("starter-monthly", "ACTIVE")
    shop.deliver()
    assert (standing(subscribed), credits_of(subscribed)) == (("pro-monthly", "ACTIVE"), [2000, 80_000])


def test_the_sdk_tries_again_by_itself_with_one_key(shop: Shop, mei: User, subscribed: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRIES", 2)
    access.opened.cache_clear()
    shop.fake.faults.close("POST", CHANGE, after=True)
    assert change_plan(actor=mei, namespace_id=subscribed.pk, **PRO).plan.code == "pro-monthly"
    assert charged(shop) == [1990, 79_990]


def test_an_error_while_looking_after_a_change_loses_nothing(shop: Shop, mei: User, subscribed: Namespace) -> None:
    seen: list[str] = []
    original = access.stripe_api().invoices_of

    def second_fails(customer_id: str) -> Any:
        seen.append(customer_id)
        if len(seen) == 2:
            raise StripeUnavailable
        return original(customer_id)

    access.stripe_api().invoices_of = second_fails  # type: ignore[method-assign]
    with pytest.raises(StripeUnavailable):
        change_plan(actor=mei, namespace_id=subscribed.pk, **PRO)
    assert change_plan(actor=mei, namespace_id=subscribed.pk, **PRO).plan.code == "pro-monthly"
    assert charged(shop) == [1990, 79_990]


def test_a_customer_is_made_once_though_the_answer_was_lost(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.fake.faults.close("POST", "/v1/customers", after=True)
    with pytest.raises(StripeUnavailable):
        start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")
    start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")
    assert len(shop.fake.account.all("customer")) == 1


def test_a_customer_who_was_deleted_at_stripe_has_no_plan_there_and_may_buy_again(shop: Shop, mei: User, subscribed: Namespace) -> None:
    gone = customer(subscribed)
    access.stripe_api().sdk.v1.customers.delete(gone)
    shop.deliver()
    assert (standing(subscribed), credits_of(subscribed)) == (("free", "ACTIVE"), [2000])
    assert wallet(subscribed).stripe_customer_id is None
    shop.buy(mei, subscribed)
    assert customer(subscribed) != gone
    assert (standing(subscribed), credits_of(subscribed)) == (("starter-monthly", "ACTIVE"), [2000, 2000])


def test_a_customer_who_was_deleted_without_a_word_is_made_anew_by_the_next_checkout(shop: Shop, mei: User, subscribed: Namespace) -> None:
    access.stripe_api().sdk.v1.customers.delete(customer(subscribed))
    shop.forget_events()
    shop.buy(mei, subscribed)
    assert standing(subscribed) == ("starter-monthly", "ACTIVE")


def test_a_key_of_another_account_takes_nothing_away(
    shop: Shop, mei: User, subscribed: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    before = everything(subscribed)
    hidden = shop.fake.account.objects["customer"].pop(customer(subscribed))
    found = reconcile()
    assert (found.looked, found.failed) == (1, 1)
    assert "STRIPE_SECRET_KEY is of another account" in caplog.text
    with pytest.raises(WrongAccount):
        change_plan(actor=mei, namespace_id=subscribed.pk, **PRO)
    shop.fake.account.objects["customer"][hidden["id"]] = hidden
    assert everything(subscribed) == before


def two_at_once(shop: Shop, workspace: Namespace) -> str:
    """Pay a second subscription, past our pages; returns the first one's id."""
    first = str(present(workspace).stripe_id)
    account = shop.fake.account
    account.advance_to(account.now + 60)
    (price,) = [price for price in account.all("price") if price["lookup_key"] == "basic-monthly"]
    begin(account, customer(workspace), price, {})
    return first


def test_of_two_subscriptions_the_newest_is_kept_the_other_ended_and_people_are_told(shop: Shop, mei: User, subscribed: Namespace) -> None:
    first = two_at_once(shop, subscribed)
    shop.deliver()
    shop.deliver()
    assert standing(subscribed) == ("basic-monthly", "ACTIVE")
    assert credits_of(subscribed) == [2000, 10_000], "both were paid"
    assert shop.fake.account.objects["subscription"][first]["status"] == "canceled"
    assert notices(subscribed) == ["DOUBLE_PAID"]
    assert Subscription.objects.get(stripe_id=first).status == "ENDED"


def test_ending_the_second_subscription_is_tried_again_when_stripe_is_away(shop: Shop, mei: User, subscribed: Namespace) -> None:
    first = two_at_once(shop, subscribed)
    shop.fake.faults.fail("DELETE", CHANGE)
    shop.deliver()
    assert shop.fake.account.objects["subscription"][first]["status"] == "active"
    shop.advance(hours=1)
    assert shop.fake.account.objects["subscription"][first]["status"] == "canceled"
    assert notices(subscribed) == ["DOUBLE_PAID"]


def test_a_price_that_is_no_plan_brings_nothing_and_is_said(
    shop: Shop, mei: User, workspace: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")
    sdk = access.stripe_api().sdk
    product = sdk.v1.products.create({"name": "By hand"})
    price = sdk.v1.prices.create({"product": product.id, "currency": "eur", "unit_amount": 5, "recurring": {"interval": "month"}})
    begin(shop.fake.account, customer(workspace), shop.fake.account.objects["price"][price.id], {})
    shop.deliver()
    assert (standing(workspace), credits_of(workspace)) == (("free", "ACTIVE"), [])
    assert f"paid price {price.id}" in caplog.text
    sdk.v1.prices.update(price.id, {"metadata": {"slipway_plan": "basic-monthly"}})
    shop.fake.account.objects["subscription"][next(iter(shop.fake.account.objects["subscription"]))]["items"]["data"][0]["price"] = (
        shop.fake.account.objects["price"][price.id]
    )
    reconcile()
    assert (standing(workspace), credits_of(workspace)) == (("basic-monthly", "ACTIVE"), [10_000])


def test_who_pays_for_a_plan_that_was_renamed_here_stays_on_it(
    shop: Shop, mei: User, subscribed: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    Plan.objects.filter(code="starter-monthly").update(code="beginner")
    shop.advance(days=20)
    assert standing(subscribed) == ("beginner", "ACTIVE")
    assert "is no plan here" in caplog.text
    Plan.objects.filter(code="beginner").update(code="starter-monthly")
    assert reconcile().repaired == 1
    assert credits_of(subscribed) == [2000, 2000]


def test_a_plan_that_operators_changed_changes_nothing_that_was_granted(shop: Shop, mei: User, subscribed: Namespace) -> None:
    Plan.objects.filter(code="starter-monthly").update(credits=3_000_000_000)
    assert reconcile().repaired == 0
    shop.advance(days=20)
    assert credits_of(subscribed) == [2000, 3000]


def test_a_plan_without_a_price_or_with_another_one_is_not_sold(shop: Shop, mei: User, workspace: Namespace) -> None:
    Plan.objects.filter(code="starter-monthly").update(price_cents=1)
    with pytest.raises(NotPriced, match="stripe_sync_plans"):
        start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")
    assert not shop.fake.account.all("checkout.session")


def test_an_answer_that_is_older_than_the_one_applied_changes_no_plan(shop: Shop, mei: User, subscribed: Namespace) -> None:
    mine = wallet(subscribed)
    early = take_ticket(mine.pk)
    old = access.stripe_api().customer_state(customer(subscribed))
    change_plan(actor=mei, namespace_id=subscribed.pk, **PRO)
    assert apply_state(wallet_id=mine.pk, state=old, ticket=early) == []
    assert (standing(subscribed), credits_of(subscribed)) == (("pro-monthly", "ACTIVE"), [2000, 80_000])


def test_an_old_answer_still_brings_what_was_paid(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.fake.pay(start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly"))
    mine = wallet(workspace)
    early = take_ticket(mine.pk)
    old = access.stripe_api().customer_state(customer(workspace))
    StripeSync.objects.filter(wallet=mine).update(applied=early + 1)
    apply_state(wallet_id=mine.pk, state=old, ticket=early)
    assert (standing(workspace), credits_of(workspace)) == (("free", "ACTIVE"), [2000])


def test_the_daily_look_goes_on_after_a_wallet_that_fails(shop: Shop, mei: User, subscribed: Namespace) -> None:
    other = make_user()
    root = other.namespaces.get(parent=None)
    shop.buy(other, root)
    shop.fake.advance(days=29)
    shop.forget_events()
    shop.fake.faults.fail("GET", f"/v1/customers/{customer(subscribed)}")
    found = reconcile()
    assert (found.looked, found.repaired, found.failed) == (2, 1, 1)
    assert credits_of(root) == [2000, 2000]
    assert reconcile().repaired == 1
    assert credits_of(subscribed) == [2000, 2000]


def test_a_look_that_takes_too_long_goes_on_where_it_ended(
    shop: Shop, mei: User, subscribed: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_user()
    shop.buy(other, other.namespaces.get(parent=None))
    sent: list[list[str]] = []
    monkeypatch.setattr(tasks, "send_task", lambda name, args: sent.append(args))
    with monkeypatch.context() as patch:
        patch.setattr(reconciling, "MOST_SECONDS", -1)
        assert reconcile().looked == 0
        tasks.reconcile_task()
    assert sent == [[str(min(Wallet.objects.exclude(stripe_customer_id=None).values_list("pk", flat=True)))]]
    tasks.reconcile_task(*sent[0])
    assert len(sent) == 1
    assert reconcile(begin=wallet(other.namespaces.get(parent=None)).pk).looked == 1


def test_while_stripe_is_away_it_is_asked_about_one_customer_alone(shop: Shop, mei: User, subscribed: Namespace) -> None:
    others = [make_user() for _ in range(3)]
    for other in others:
        shop.fake.pay(start_checkout(actor=other, namespace_id=other.namespaces.get(parent=None).pk, plan_code="starter-monthly"))
    asked = len(shop.fake.requests)
    shop.fake.faults.fail("GET", "/v1/customers/.*", status=503, times=9)
    shop.deliver()
    assert len(shop.fake.requests) == asked + 1
    assert set(StripeEvent.objects.filter(done_at=None).values_list("attempts", "error")) == {(1, "payments_unavailable")}
    shop.fake.faults.planned.clear()
    shop.advance(hours=1)
    assert [credits_of(other.namespaces.get(parent=None)) for other in others] == [[2000]] * 3


def test_old_events_are_forgotten_by_the_daily_look(shop: Shop, mei: User, subscribed: Namespace) -> None:
    assert StripeEvent.objects.exists()
    shop.fake.advance(days=91)
    reconcile()
    assert not StripeEvent.objects.exists()


def test_without_keys_nothing_is_asked_and_the_refusal_says_who_grants_credits(
    shop: Shop, mei: User, subscribed: Namespace, settings: Any
) -> None:
    settings.STRIPE_SECRET_KEY = ""
    asked = len(shop.fake.requests)
    assert reconcile().looked == 0
    for act in (lambda: sync_wallet(wallet(subscribed).pk), lambda: change_plan(actor=mei, namespace_id=subscribed.pk, **PRO)):
        with pytest.raises(NotConfigured, match="operator grants credits"):
            act()
    assert len(shop.fake.requests) == asked
    assert standing(subscribed) == ("starter-monthly", "ACTIVE")


def test_no_secret_is_in_any_log(shop: Shop, mei: User, subscribed: Namespace, caplog: pytest.LogCaptureFixture, settings: Any) -> None:
    caplog.set_level(logging.DEBUG)
    settings.STRIPE_SECRET_KEY = "sk_test_a_wrong_one"
    with pytest.raises(StripeUnavailable):
        change_plan(actor=mei, namespace_id=subscribed.pk, **PRO)
    access.stripe_api().close()
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    change_plan(actor=mei, namespace_id=subscribed.pk, **PRO)
    shop.deliver()
    assert not [word for word in (SECRET_KEY, "sk_test", shop.fake.webhooks.secret) if word in caplog.text]


def test_a_wallet_that_never_bought_is_not_asked_about(shop: Shop, mei: User, workspace: Namespace) -> None:
    asked = len(shop.fake.requests)
    assert sync_wallet(wallet(workspace).pk) is None
    assert reconcile().looked == 0
    assert len(shop.fake.requests) == asked
    assert Wallet.objects.filter(stripe_customer_id=None).exists()
