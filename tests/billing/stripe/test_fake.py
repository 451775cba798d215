"""The fake Stripe behaves as Stripe does, for the real SDK over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import stripe
from stripe import StripeClient

from tests.billing.stripe.sold import invoices_of, make_customer, make_price, open_checkout, period_of, subscribe
from tests.fakes.stripe import SECRET_KEY, FakeStripe
from tests.fakes.stripe.refusals import Refused


def stamp(year: int, month: int, day: int, hour: int = 10) -> int:
    """A time as Stripe writes it."""
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp())


def test_a_checkout_becomes_a_subscription_with_a_paid_invoice_when_it_is_paid(fake: FakeStripe, sdk: StripeClient) -> None:
    session = open_checkout(sdk, make_customer(sdk), make_price(sdk), wallet="7")
    assert (session.status, session.payment_status, session.subscription) == ("open", "unpaid", None)
    fake.pay(session.url or "")
    paid = sdk.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice"]})
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    assert isinstance(paid.subscription, stripe.Subscription)
    assert paid.subscription.metadata.to_dict() == {"wallet": "7"}
    invoice = paid.subscription.latest_invoice
    assert isinstance(invoice, stripe.Invoice)
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == ("paid", 2990, "subscription_create")


def test_paying_the_same_session_twice_makes_one_subscription(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    url = open_checkout(sdk, customer, make_price(sdk)).url or ""
    assert fake.pay(url) == fake.pay(url)
    assert len(sdk.v1.subscriptions.list({"customer": customer.id}).data) == 1


def test_a_declined_card_leaves_the_session_open(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    session = open_checkout(sdk, customer, make_price(sdk))
    fake.let_card_fail(customer.id)
    with pytest.raises(Refused, match="declined"):
        fake.pay(session.url or "")
    assert sdk.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert not sdk.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data


def test_a_session_that_expired_cannot_be_paid(fake: FakeStripe, sdk: StripeClient) -> None:
    session = open_checkout(sdk, make_customer(sdk), make_price(sdk))
    sdk.v1.checkout.sessions.expire(session.id)
    with pytest.raises(Refused):
        fake.pay(session.url or "")
    with pytest.raises(stripe.InvalidRequestError):
        sdk.v1.checkout.sessions.expire(session.id)


def test_months_end_on_the_anchor_day_or_the_last_day_of_the_month(fake: FakeStripe, sdk: StripeClient) -> None:
    made = subscribe(fake, sdk, make_customer(sdk), make_price(sdk))
    assert period_of(made) == (stamp(2026, 1, 31), stamp(2026, 2, 28))
    fake.advance(days=60)
    made = sdk.v1.subscriptions.retrieve(made.id)
    assert period_of(made) == (stamp(2026, 3, 31), stamp(2026, 4, 30))
    starts = [invoice.lines.data[0].period.start for invoice in invoices_of(sdk, made)]
    assert starts == [stamp(2026, 3, 31), stamp(2026, 2, 28), stamp(2026, 1, 31)]


def test_a_renewal_is_a_draft_for_an_hour_and_then_paid(fake: FakeStripe, sdk: StripeClient) -> None:
    made = subscribe(fake, sdk, make_customer(sdk), make_price(sdk))
    fake.advance_to(datetime(2026, 2, 28, 10, 30, tzinfo=UTC))
    assert [invoice.status for invoice in invoices_of(sdk, made)] == ["draft", "paid"]
    assert period_of(sdk.v1.subscriptions.retrieve(made.id))[0] == stamp(2026, 2, 28)
    fake.advance(hours=1)
    newest = invoices_of(sdk, made)[0]
    assert (newest.status, newest.billing_reason) == ("paid", "subscription_cycle")
    assert newest.parent
    assert newest.parent.subscription_details
    assert newest.parent.subscription_details.subscription == made.id


def test_a_yearly_price_renews_after_a_year(fake: FakeStripe, sdk: StripeClient) -> None:
    made = subscribe(fake, sdk, make_customer(sdk), make_price(sdk, "pro_yearly", cents=799_990, interval="year"))
    fake.advance(days=364)
    assert len(invoices_of(sdk, made)) == 1
    fake.advance(days=2)
    assert len(invoices_of(sdk, made)) == 2


def test_a_failing_card_makes_the_subscription_past_due_until_it_pays_again(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    made = subscribe(fake, sdk, customer, make_price(sdk))
    fake.let_card_fail(customer.id)
    fake.advance(days=29)
    newest = invoices_of(sdk, made)[0]
    assert (newest.status, newest.amount_paid, newest.attempt_count) == ("open", 0, 1)
    assert sdk.v1.subscriptions.retrieve(made.id).status == "past_due"
    assert "invoice.payment_failed" in [event["type"] for event in fake.webhooks.waiting]
    fake.let_card_fail(customer.id, failing=False)
    fake.advance(days=4)
    assert sdk.v1.subscriptions.retrieve(made.id).status == "active"
    assert invoices_of(sdk, made)[0].status == "paid"


def test_a_card_that_goes_on_failing_ends_the_subscription(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    made = subscribe(fake, sdk, customer, make_price(sdk))
    fake.let_card_fail(customer.id)
    fake.advance(days=50)
    ended = sdk.v1.subscriptions.retrieve(made.id)
    assert ended.status == "canceled"
    assert ended.cancellation_details
    assert ended.cancellation_details.reason == "payment_failed"


def test_an_open_invoice_can_be_paid_by_hand(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    made = subscribe(fake, sdk, customer, make_price(sdk))
    fake.let_card_fail(customer.id)
    fake.advance(days=29)
    newest = invoices_of(sdk, made)[0]
    with pytest.raises(stripe.CardError):
        sdk.v1.invoices.pay(newest.id)
    fake.let_card_fail(customer.id, failing=False)
    assert sdk.v1.invoices.pay(newest.id).status == "paid"
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        sdk.v1.invoices.pay(newest.id)


def test_cancelled_at_its_end_a_subscription_lives_until_then_and_can_be_kept(fake: FakeStripe, sdk: StripeClient) -> None:
    made = subscribe(fake, sdk, make_customer(sdk), make_price(sdk))
    leaving = sdk.v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    assert (leaving.status, leaving.cancel_at) == ("active", period_of(made)[1])
    assert sdk.v1.subscriptions.update(made.id, {"cancel_at_period_end": False}).cancel_at is None
    sdk.v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    fake.advance(days=40)
    assert sdk.v1.subscriptions.retrieve(made.id).status == "canceled"
    assert len(invoices_of(sdk, made)) == 1
    with pytest.raises(stripe.InvalidRequestError, match="canceled subscription"):
        sdk.v1.subscriptions.update(made.id, {"cancel_at_period_end": False})


def test_a_cancelled_subscription_is_in_lists_of_all_only(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    made = subscribe(fake, sdk, customer, make_price(sdk))
    assert sdk.v1.subscriptions.cancel(made.id).status == "canceled"
    assert not sdk.v1.subscriptions.list({"customer": customer.id}).data
    assert len(sdk.v1.subscriptions.list({"customer": customer.id, "status": "all"}).data) == 1
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        sdk.v1.subscriptions.cancel(made.id)


def test_another_price_with_a_new_anchor_begins_a_period_that_is_paid_in_full(fake: FakeStripe, sdk: StripeClient) -> None:
    made = subscribe(fake, sdk, make_customer(sdk), make_price(sdk))
    other = make_price(sdk, "pro_monthly", cents=79_990)
    fake.advance(days=10)
    changed = change(sdk, made, other)
    assert period_of(changed) == (stamp(2026, 2, 10), stamp(2026, 3, 10))
    newest = invoices_of(sdk, made)[0]
    assert (newest.billing_reason, newest.amount_paid, len(newest.lines.data)) == ("subscription_update", 79_990, 1)
    fake.advance(days=29)
    assert [invoice.amount_paid for invoice in invoices_of(sdk, made)] == [79_990, 79_990, 2990]


def change(sdk: StripeClient, subscription: stripe.Subscription, price: stripe.Price) -> stripe.Subscription:
    """Put another price into a subscription, paid at once."""
    item = subscription["items"].data[0]
    return sdk.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item.id, "price": price.id}],
            "billing_cycle_anchor": {"type": "now"},
            "proration_behavior": "none",
            "payment_behavior": "error_if_incomplete",
        },
    )


def test_a_change_that_must_be_paid_for_and_is_not_changes_nothing(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    made = subscribe(fake, sdk, customer, make_price(sdk))
    fake.let_card_fail(customer.id)
    with pytest.raises(stripe.CardError) as refused:
        change(sdk, made, make_price(sdk, "pro_monthly"))
    assert refused.value.code == "card_declined"
    assert sdk.v1.subscriptions.retrieve(made.id).to_dict() == made.to_dict()


def test_prorations_give_back_unused_time_on_the_next_invoice(fake: FakeStripe, sdk: StripeClient) -> None:
    made = subscribe(fake, sdk, make_customer(sdk), make_price(sdk, cents=2800))
    fake.advance(days=14)
    item = made["items"].data[0]
    sdk.v1.subscriptions.update(made.id, {"items": [{"id": item.id, "price": make_price(sdk, "pro_monthly", cents=28_000).id}]})
    assert len(invoices_of(sdk, made)) == 1
    fake.advance(days=15)
    lines = invoices_of(sdk, made)[0].lines.data
    assert [line.amount for line in lines] == [-1400, 14_000, 28_000]
    assert [line.parent.subscription_item_details.proration for line in lines if line.parent and line.parent.subscription_item_details] == [
        True,
        True,
        False,
    ]


def test_a_deleted_customer_is_a_stub_whose_subscriptions_have_ended(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    made = subscribe(fake, sdk, customer, make_price(sdk))
    sdk.v1.customers.delete(customer.id)
    assert sdk.v1.customers.retrieve(customer.id).to_dict() == {"id": customer.id, "object": "customer", "deleted": True}
    assert sdk.v1.subscriptions.retrieve(made.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        open_checkout(sdk, customer, make_price(sdk, "pro_monthly"))
    assert refused.value.code == "resource_missing"


def test_a_lookup_key_is_one_prices_until_it_is_transferred(sdk: StripeClient) -> None:
    old = make_price(sdk, "starter_monthly")
    with pytest.raises(stripe.InvalidRequestError, match="lookup key"):
        make_price(sdk, "starter_monthly")
    new = sdk.v1.prices.create(
        {
            "product": str(old.product),
            "currency": "eur",
            "unit_amount": 1,
            "recurring": {"interval": "month"},
            "lookup_key": "starter_monthly",
            "transfer_lookup_key": True,
        }
    )
    assert [price.id for price in sdk.v1.prices.list({"lookup_keys": ["starter_monthly"]}).data] == [new.id]
    assert sdk.v1.prices.retrieve(old.id).lookup_key is None


def test_lists_come_in_pages_from_the_newest(sdk: StripeClient) -> None:
    made = [make_customer(sdk).id for _ in range(5)]
    first = sdk.v1.customers.list({"limit": 2})
    assert [customer.id for customer in first.data] == made[:2:-1]
    assert first.has_more
    assert [customer.id for customer in first.auto_paging_iter()] == made[::-1]
    assert not sdk.v1.customers.list({"limit": 2, "starting_after": made[2]}).has_more
    assert [customer.id for customer in sdk.v1.customers.list({"limit": 2, "ending_before": made[0]}).data] == made[2:0:-1]


def test_the_portal_needs_a_configuration(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    with pytest.raises(stripe.InvalidRequestError, match="configuration"):
        sdk.v1.billing_portal.sessions.create({"customer": customer.id})
    configuration = sdk.v1.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": True}}})
    assert not configuration.features.subscription_update.enabled
    session = sdk.v1.billing_portal.sessions.create({"customer": customer.id, "configuration": configuration.id})
    assert session.url.startswith(fake.url)


def test_unknown_things_keys_parameters_and_addresses_are_refused(fake: FakeStripe, sdk: StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sdk.v1.subscriptions.retrieve("sub_none")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        sdk.v1.customers.create({"phone": "1"})
    assert refused.value.code == "parameter_unknown"
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized"):
        sdk.v1.coupons.list()
    with pytest.raises(stripe.AuthenticationError) as denied:
        StripeClient("sk_test_other", base_addresses={"api": fake.url}).v1.customers.list()
    assert SECRET_KEY not in str(denied.value)
    assert not fake.account.all("customer")


def test_the_portal_cancels_by_a_moment_without_the_flag(fake: FakeStripe, sdk: StripeClient) -> None:
    made = subscribe(fake, sdk, make_customer(sdk), make_price(sdk))
    fake.cancel_in_portal(made.id)
    leaving = sdk.v1.subscriptions.retrieve(made.id)
    assert (leaving.cancel_at_period_end, leaving.cancel_at) == (False, period_of(made)[1])
    assert sdk.v1.subscriptions.update(made.id, {"cancel_at": ""}).cancel_at is None
    fake.cancel_in_portal(made.id)
    fake.advance(days=40)
    assert sdk.v1.subscriptions.retrieve(made.id).status == "canceled"
