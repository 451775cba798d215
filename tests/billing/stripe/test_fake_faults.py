"""The fake Stripe fails as Stripe does, and keeps answers by idempotency key."""

from __future__ import annotations

import pytest
import stripe
from stripe import StripeClient

from tests.billing.stripe.sold import make_customer, make_price, subscribe
from tests.fakes.stripe import SECRET_KEY, FakeStripe

MEI = {"name": "Mei"}


def test_the_same_key_gets_the_same_answer_and_does_nothing_again(fake: FakeStripe, sdk: StripeClient) -> None:
    first = sdk.v1.customers.create({"name": "Mei"}, {"idempotency_key": "one"})
    again = sdk.v1.customers.create({"name": "Mei"}, {"idempotency_key": "one"})
    assert first.id == again.id
    assert again.last_response
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(fake.account.all("customer")) == 1


def test_the_same_key_with_other_parameters_is_refused(fake: FakeStripe, sdk: StripeClient) -> None:
    sdk.v1.customers.create({"name": "Mei"}, {"idempotency_key": "one"})
    with pytest.raises(stripe.IdempotencyError):
        sdk.v1.customers.create({"name": "Kim"}, {"idempotency_key": "one"})
    assert len(fake.account.all("customer")) == 1


def test_a_key_is_forgotten_after_a_day(fake: FakeStripe, sdk: StripeClient) -> None:
    first = sdk.v1.customers.create({"name": "Mei"}, {"idempotency_key": "one"})
    fake.advance(days=1)
    assert sdk.v1.customers.create({"name": "Kim"}, {"idempotency_key": "one"}).id != first.id


def test_a_key_keeps_a_decline_but_not_a_request_that_was_wrong(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    made = subscribe(fake, sdk, customer, make_price(sdk))
    fake.let_card_fail(customer.id)
    fake.advance(days=29)
    invoice = str(sdk.v1.subscriptions.retrieve(made.id).latest_invoice)
    for failing in (True, False):
        fake.let_card_fail(customer.id, failing=failing)
        with pytest.raises(stripe.CardError):
            sdk.v1.invoices.pay(invoice, {}, {"idempotency_key": "pay"})
    with pytest.raises(stripe.InvalidRequestError):
        sdk.v1.checkout.sessions.expire("cs_test_none", {}, {"idempotency_key": "expire"})
    assert "expire" not in fake.answers.kept


def test_errors_can_be_planned(fake: FakeStripe, sdk: StripeClient) -> None:
    fake.faults.fail("POST", "/v1/customers", status=429)
    with pytest.raises(stripe.RateLimitError):
        make_customer(sdk)
    fake.faults.fail("POST", "/v1/customers", status=500)
    with pytest.raises(stripe.APIError):
        make_customer(sdk)
    assert not fake.account.all("customer")
    assert make_customer(sdk)


def test_an_error_after_the_effect_is_kept_by_the_key(fake: FakeStripe, sdk: StripeClient) -> None:
    fake.faults.fail("POST", "/v1/customers", status=500, after=True)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            sdk.v1.customers.create({"name": "Mei"}, {"idempotency_key": "one"})
    assert len(fake.account.all("customer")) == 1


def test_an_answer_that_is_lost_after_the_effect_can_be_had_by_its_key(fake: FakeStripe, sdk: StripeClient) -> None:
    fake.faults.close("POST", "/v1/customers", after=True)
    with pytest.raises(stripe.APIConnectionError):
        sdk.v1.customers.create({"name": "Mei"}, {"idempotency_key": "one"})
    assert sdk.v1.customers.create({"name": "Mei"}, {"idempotency_key": "one"}).id == fake.account.all("customer")[0]["id"]
    assert len(fake.account.all("customer")) == 1


def test_a_silent_server_runs_into_the_timeout_of_the_sdk(fake: FakeStripe) -> None:
    fake.faults.hang("GET", "/v1/customers", seconds=20)
    http = stripe.RequestsClient(timeout=0.2)
    with pytest.raises(stripe.APIConnectionError):
        StripeClient(SECRET_KEY, base_addresses={"api": fake.url}, http_client=http).v1.customers.list()
    http.close()


def test_the_sdk_retries_with_one_key_and_makes_one_customer(fake: FakeStripe) -> None:
    fake.faults.close("POST", "/v1/customers", after=True)
    http = stripe.RequestsClient(timeout=5)
    make_customer(StripeClient(SECRET_KEY, base_addresses={"api": fake.url}, http_client=http, max_network_retries=1))
    http.close()
    assert len({asked.key for asked in fake.requests}) == 1
    assert len(fake.account.all("customer")) == 1
