"""The life of a subscription, from the pay page to its end, as webhooks come in their order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from billing.models import Invoice, Plan, Subscription
from billing.stripe.buying import open_portal, start_checkout
from billing.stripe.catalogue import sync_plans
from billing.stripe.changes import cancel_subscription, change_plan, reactivate_subscription
from billing.stripe.errors import AlreadySubscribed, CardRefused, NoSubscription, NotOffered, PaymentDue
from billing.subscriptions import renew_due
from controlplane.accounts.models import User
from controlplane.common.errors import InvalidInput
from controlplane.workspaces.models import Namespace
from tests.billing.stripe.shop import Shop, credits_of, customer, notices, paid_grants, present, standing, wallet
from tests.factories import make_organization
from tests.fakes.stripe import FakeStripe
from tests.fakes.stripe.refusals import Refused
from tests.fakes.stripe.standing import end


def moment(year: int, month: int, day: int) -> datetime:
    """The hour of the day at which the fake begins."""
    return datetime(year, month, day, 10, 0, tzinfo=UTC)


def free_credits(workspace: Namespace) -> list[datetime]:
    """When free credits were granted."""
    rows = wallet(workspace).grants.filter(plan_code="free").order_by("starts_at")
    return list(rows.values_list("starts_at", flat=True))


def test_a_plan_and_its_credits_come_when_the_pay_page_is_paid(shop: Shop, mei: User, workspace: Namespace) -> None:
    url = start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")
    shop.deliver()
    assert (standing(workspace), credits_of(workspace)) == (("free", "ACTIVE"), [])
    shop.fake.pay(url)
    shop.deliver()
    assert standing(workspace) == ("starter-monthly", "ACTIVE")
    assert paid_grants(workspace) == [("starter-monthly", 2000, moment(2026, 1, 31), moment(2026, 7, 31))]
    assert (present(workspace).current_period_end, present(workspace).granted_until) == (moment(2026, 2, 28), moment(2026, 2, 28))


def test_an_organization_buys_as_a_person_does(shop: Shop, mei: User) -> None:
    root = make_organization(mei).namespaces.get()
    assert standing(root) is None
    shop.buy(mei, root, "pro-monthly")
    assert (standing(root), credits_of(root)) == (("pro-monthly", "ACTIVE"), [80_000])
    cancel_subscription(actor=mei, namespace_id=root.pk)
    shop.advance(days=40)
    assert standing(root) is None


def test_each_month_brings_credits_that_last_from_its_first_day(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    shop.advance(days=90)
    assert [(start, end) for _, _, start, end in paid_grants(workspace)] == [
        (moment(2026, 1, 31), moment(2026, 7, 31)),
        (moment(2026, 2, 28), moment(2026, 8, 28)),
        (moment(2026, 3, 31), moment(2026, 9, 30)),
        (moment(2026, 4, 30), moment(2026, 10, 30)),
    ]


def test_a_year_brings_its_credits_once(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace, "pro-yearly")
    shop.advance(days=300)
    assert credits_of(workspace) == [960_000]
    shop.advance(days=70)
    assert credits_of(workspace) == [960_000, 960_000]


def test_free_credits_stop_with_a_paid_plan_and_come_back_after_it_once_a_month(shop: Shop, mei: User, workspace: Namespace) -> None:
    assert free_credits(workspace) == [moment(2026, 1, 31)]
    shop.buy(mei, workspace)
    shop.advance(days=60)
    renew_due()
    assert free_credits(workspace) == [moment(2026, 1, 31)]
    cancel_subscription(actor=mei, namespace_id=workspace.pk)
    shop.advance(days=40)
    assert standing(workspace) == ("free", "ACTIVE")
    assert len(free_credits(workspace)) == 2
    shop.buy(mei, workspace)
    shop.fake.account.advance_to(shop.fake.account.now + 60)
    stripe_id = present(workspace).stripe_id
    assert stripe_id
    shop.fake.account.failing.add(customer(workspace))
    end(shop.fake.account, shop.fake.account.objects["subscription"][stripe_id])
    shop.deliver()
    assert standing(workspace) == ("free", "ACTIVE")
    assert len(free_credits(workspace)) == 2, "the same month again"


def test_free_credits_last_until_the_next_ones_come(shop: Shop, mei: User, workspace: Namespace) -> None:
    wallet(workspace)
    for _ in range(9):
        shop.fake.advance(days=10)
        renew_due()
    times = wallet(workspace).grants.filter(plan_code="free").order_by("starts_at").values_list("starts_at", "expires_at")
    assert list(times) == [
        (moment(2026, 1, 31), moment(2026, 2, 28)),
        (moment(2026, 2, 28), moment(2026, 3, 31)),
        (moment(2026, 3, 31), moment(2026, 4, 30)),
        (moment(2026, 4, 30), moment(2026, 5, 31)),
    ]


def test_cancelled_it_lives_until_its_end_and_credits_stay_valid(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    assert cancel_subscription(actor=mei, namespace_id=workspace.pk).status == "CANCELLING"
    shop.advance(days=27)
    assert standing(workspace) == ("starter-monthly", "CANCELLING")
    shop.advance(days=2)
    assert (standing(workspace), credits_of(workspace)) == (("free", "ACTIVE"), [2000])
    assert paid_grants(workspace)[0][3] == moment(2026, 7, 31)


def test_it_can_be_kept_before_its_end_and_not_after(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    cancel_subscription(actor=mei, namespace_id=workspace.pk)
    assert reactivate_subscription(actor=mei, namespace_id=workspace.pk).status == "ACTIVE"
    shop.advance(days=35)
    assert credits_of(workspace) == [2000, 2000]
    cancel_subscription(actor=mei, namespace_id=workspace.pk)
    shop.advance(days=35)
    with pytest.raises(NoSubscription):
        reactivate_subscription(actor=mei, namespace_id=workspace.pk)
    shop.buy(mei, workspace)
    assert standing(workspace) == ("starter-monthly", "ACTIVE")


def test_what_was_cancelled_in_the_portal_is_shown_and_can_be_kept(shop: Shop, mei: User, workspace: Namespace) -> None:
    stripe_id = shop.buy(mei, workspace).stripe_id
    shop.fake.cancel_in_portal(str(stripe_id))
    shop.deliver()
    assert standing(workspace) == ("starter-monthly", "CANCELLING")
    assert reactivate_subscription(actor=mei, namespace_id=workspace.pk).status == "ACTIVE"


def test_another_plan_brings_its_credits_at_once_and_the_old_one_no_more(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    shop.advance(days=10)
    changed = change_plan(actor=mei, namespace_id=workspace.pk, plan_code="pro-monthly")
    assert (changed.plan.code, changed.status, changed.current_period_end) == ("pro-monthly", "ACTIVE", moment(2026, 3, 10))
    assert paid_grants(workspace) == [
        ("starter-monthly", 2000, moment(2026, 1, 31), moment(2026, 7, 31)),
        ("pro-monthly", 80_000, moment(2026, 2, 10), moment(2026, 8, 10)),
    ]
    shop.advance(days=50)
    assert credits_of(workspace) == [2000, 80_000, 80_000]
    assert Subscription.objects.filter(wallet=wallet(workspace)).exclude(status="ENDED").count() == 1


def test_changes_in_the_second_of_the_purchase_bring_what_was_paid(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    change_plan(actor=mei, namespace_id=workspace.pk, plan_code="starter-yearly")
    change_plan(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")
    change_plan(actor=mei, namespace_id=workspace.pk, plan_code="starter-yearly")
    assert sorted(credits_of(workspace)) == [2000, 2000, 24_000, 24_000], "each was paid"


def test_changing_to_the_present_plan_costs_nothing_and_ends_a_cancellation(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    cancel_subscription(actor=mei, namespace_id=workspace.pk)
    assert change_plan(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly").status == "ACTIVE"
    shop.deliver()
    assert credits_of(workspace) == [2000]


def test_a_refused_card_changes_nothing_and_the_next_attempt_is_another_request(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    shop.fake.let_card_fail(customer(workspace))
    with pytest.raises(CardRefused):
        change_plan(actor=mei, namespace_id=workspace.pk, plan_code="pro-monthly")
    shop.deliver()
    assert (standing(workspace), credits_of(workspace)) == (("starter-monthly", "ACTIVE"), [2000])
    shop.fake.let_card_fail(customer(workspace), failing=False)
    assert change_plan(actor=mei, namespace_id=workspace.pk, plan_code="pro-monthly").plan.code == "pro-monthly"


def test_a_payment_that_failed_brings_no_credits_until_it_is_made_up_for(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    shop.fake.let_card_fail(customer(workspace))
    shop.advance(days=29)
    assert (standing(workspace), credits_of(workspace), notices(workspace)) == (("starter-monthly", "PAST_DUE"), [2000], ["PAYMENT_FAILED"])
    with pytest.raises(PaymentDue):
        change_plan(actor=mei, namespace_id=workspace.pk, plan_code="pro-monthly")
    shop.fake.let_card_fail(customer(workspace), failing=False)
    shop.advance(days=4)
    assert (standing(workspace), credits_of(workspace), notices(workspace)) == (
        ("starter-monthly", "ACTIVE"),
        [2000, 2000],
        ["PAYMENT_FAILED"],
    )


def test_payments_that_go_on_failing_end_it(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    shop.fake.let_card_fail(customer(workspace))
    shop.advance(days=60)
    assert (standing(workspace), credits_of(workspace)) == (("free", "ACTIVE"), [2000])


def test_nobody_buys_twice(shop: Shop, mei: User, workspace: Namespace) -> None:
    first = start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")
    second = start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="pro-monthly")
    with pytest.raises(Refused):
        shop.fake.pay(first)
    shop.fake.pay(second)
    with pytest.raises(AlreadySubscribed):
        start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")
    assert standing(workspace) == ("pro-monthly", "ACTIVE"), "asked on the way, before any webhook came"


def test_only_plans_that_are_offered_to_this_kind_of_workspace_are_sold(shop: Shop, mei: User, workspace: Namespace) -> None:
    for code in ("free", "internal", "nothing"):
        with pytest.raises(NotOffered, match="starter-monthly"):
            start_checkout(actor=mei, namespace_id=workspace.pk, plan_code=code)
    assert not shop.fake.account.all("customer")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/",
        "http://127.0.0.1:8000@evil.example.com/",
        "http://127.0.0.1:8000.evil.example.com/",
        "//evil.example.com/",
        "javascript:alert(1)",
        "http://127.0.0.1:8000\\@evil.example.com/",
        "http://127.0.0.1:8000\t/",
    ],
)
def test_pay_pages_lead_back_to_this_service_alone(shop: Shop, mei: User, workspace: Namespace, url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly", success_url=url)
    assert refused.value.code == "foreign_address"
    assert not shop.fake.account.all("checkout.session")


def test_the_portal_opens_for_whoever_has_bought(shop: Shop, mei: User, workspace: Namespace) -> None:
    with pytest.raises(NoSubscription):
        open_portal(actor=mei, namespace_id=workspace.pk)
    shop.buy(mei, workspace)
    urls = [open_portal(actor=mei, namespace_id=workspace.pk) for _ in range(2)]
    assert all(url.startswith(shop.fake.url) for url in urls)
    (configuration,) = shop.fake.account.all("billing_portal.configuration")
    assert configuration["features"]["subscription_cancel"] == {
        "cancellation_reason": {"enabled": False, "options": []},
        "enabled": True,
        "mode": "at_period_end",
        "proration_behavior": "none",
    }
    assert not configuration["features"]["subscription_update"]["enabled"]


def test_invoices_are_kept_as_stripe_shows_them(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    shop.fake.let_card_fail(customer(workspace))
    shop.advance(days=29)
    newest, oldest = Invoice.objects.filter(wallet=wallet(workspace)).order_by("-issued_at")
    assert (newest.status, oldest.status, oldest.amount, oldest.currency) == ("open", "paid", 1990, "EUR")
    assert oldest.lines[0]["start"] == "2026-01-31T10:00:00Z"
    assert newest.hosted_url.startswith(shop.fake.url)


def test_every_change_has_an_idempotency_key_and_customers_carry_whose_they_are(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    open_portal(actor=mei, namespace_id=workspace.pk)
    change_plan(actor=mei, namespace_id=workspace.pk, plan_code="pro-monthly")
    cancel_subscription(actor=mei, namespace_id=workspace.pk)
    reactivate_subscription(actor=mei, namespace_id=workspace.pk)
    changing = [asked for asked in shop.fake.requests if asked.method == "POST"]
    assert all(asked.key for asked in changing)
    assert len({asked.key for asked in changing}) == len(changing)
    (made,) = shop.fake.account.all("customer")
    assert (made["email"], made["metadata"]["slipway_wallet"]) == (mei.email, str(wallet(workspace).pk))


def test_prices_are_made_once_and_anew_when_a_plan_costs_something_else(shop: Shop, fake: FakeStripe) -> None:
    assert {plan.outcome for plan in sync_plans()} == {"as it was"}
    assert len(fake.account.all("price")) == Plan.objects.filter(offered=True).count() == 6
    Plan.objects.filter(code="starter-monthly").update(price_cents=2490)
    assert [plan.code for plan in sync_plans() if plan.outcome == "new price"] == ["starter-monthly"]
    active = [price["unit_amount"] for price in fake.account.all("price") if price["active"] and price["lookup_key"] == "starter-monthly"]
    assert active == [2490]
    assert {plan.outcome for plan in sync_plans()} == {"as it was"}


def test_who_bought_at_an_old_price_keeps_the_plan(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    Plan.objects.filter(code="starter-monthly").update(price_cents=2490)
    sync_plans()
    shop.advance(days=29)
    assert (standing(workspace), credits_of(workspace)) == (("starter-monthly", "ACTIVE"), [2000, 2000])
