"""The fake Stripe's webhooks are signed as the SDK wants them, and come as a test wants them."""

from __future__ import annotations

import random
from typing import Any

import pytest
import stripe
from stripe import StripeClient

from tests.billing.stripe.sold import make_customer, make_price, subscribe
from tests.fakes.stripe import FakeStripe


@pytest.fixture
def received(fake: FakeStripe, sdk: StripeClient) -> list[dict[str, Any]]:
    """Events that a receiver has verified."""
    found: list[dict[str, Any]] = []

    def receive(body: bytes, headers: dict[str, str]) -> int:
        try:
            found.append(sdk.construct_event(body, headers["Stripe-Signature"], fake.webhooks.secret).to_dict())
        except stripe.SignatureVerificationError:
            return 400
        return 200

    fake.webhooks.send = receive
    return found


def test_events_of_a_checkout_are_signed_and_come_in_their_order(
    fake: FakeStripe, sdk: StripeClient, received: list[dict[str, Any]]
) -> None:
    subscribe(fake, sdk, make_customer(sdk), make_price(sdk))
    assert not received
    assert set(fake.webhooks.deliver()) == {200}
    assert [event["type"] for event in received] == [
        "customer.created",
        "product.created",
        "price.created",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
        "checkout.session.completed",
    ]
    assert {event["api_version"] for event in received} == {stripe.api_version}
    assert [event.id for event in sdk.v1.events.list({"limit": 1, "type": "invoice.paid"}).data] == [received[6]["id"]]


def test_a_wrong_secret_and_an_old_signature_are_refused(fake: FakeStripe, sdk: StripeClient, received: list[dict[str, Any]]) -> None:
    make_customer(sdk)
    event = fake.webhooks.waiting[0]
    assert fake.webhooks.post(event, secret="whsec_other") == 400
    assert fake.webhooks.post(event, age=1000) == 400
    assert not received


def test_events_are_dropped_doubled_replayed_and_tried_again(fake: FakeStripe, sdk: StripeClient, received: list[dict[str, Any]]) -> None:
    for _ in range(4):
        make_customer(sdk)
    fake.webhooks.drop(lambda event: event is fake.webhooks.waiting[0])
    fake.webhooks.duplicate(random.Random(1))
    fake.webhooks.shuffle(random.Random(1))
    waiting = len(fake.webhooks.waiting)
    assert waiting > 3
    secret, fake.webhooks.secret = fake.webhooks.secret, "whsec_other"
    fake.webhooks.send, send = (lambda body, headers: 500), fake.webhooks.send
    fake.webhooks.deliver()
    assert (len(received), len(fake.webhooks.waiting)) == (0, waiting)
    fake.webhooks.send, fake.webhooks.secret = send, secret
    fake.webhooks.deliver()
    fake.webhooks.replay()
    fake.webhooks.deliver()
    assert len({event["id"] for event in received}) == 4


def test_events_come_at_once_when_they_are_not_held(fake: FakeStripe, sdk: StripeClient, received: list[dict[str, Any]]) -> None:
    fake.webhooks.held = False
    make_customer(sdk)
    assert [event["type"] for event in received] == ["customer.created"]
