"""What tests of the fake sell, through the SDK."""

from __future__ import annotations

import stripe
from stripe import Customer, Price, StripeClient, Subscription

from tests.fakes.stripe import FakeStripe


def make_price(sdk: StripeClient, code: str = "starter_monthly", *, cents: int = 2990, interval: str = "month") -> Price:
    """A product with one price."""
    product = sdk.v1.products.create({"name": code})
    return sdk.v1.prices.create(
        {"product": product.id, "currency": "eur", "unit_amount": cents, "recurring": {"interval": interval}, "lookup_key": code}
    )


def make_customer(sdk: StripeClient, **metadata: str) -> Customer:
    """A customer."""
    return sdk.v1.customers.create({"email": "mei@example.com", "name": "Mei", "metadata": metadata})


def open_checkout(sdk: StripeClient, customer: Customer, price: Price, **metadata: str) -> stripe.checkout.Session:
    """A checkout session that waits to be paid."""
    return sdk.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "http://127.0.0.1:8000/done",
            "cancel_url": "http://127.0.0.1:8000/back",
            "subscription_data": {"metadata": metadata},
        }
    )


def subscribe(fake: FakeStripe, sdk: StripeClient, customer: Customer, price: Price, **metadata: str) -> Subscription:
    """A subscription that was paid for on the pay page."""
    session = open_checkout(sdk, customer, price, **metadata)
    assert session.url
    return sdk.v1.subscriptions.retrieve(str(fake.pay(session.url)["subscription"]))


def invoices_of(sdk: StripeClient, subscription: Subscription) -> list[stripe.Invoice]:
    """Its invoices, the newest first."""
    return list(sdk.v1.invoices.list({"subscription": subscription.id}).auto_paging_iter())


def period_of(subscription: Subscription) -> tuple[int, int]:
    """The present period of its item."""
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end
