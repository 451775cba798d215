"""What the fake Stripe says has the shape that the SDK's types describe: no field that is not theirs, and none missing that is always there."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import stripe
from stripe import StripeClient, StripeObject, params
from stripe.params import billing_portal, checkout

from tests.billing.stripe.sold import make_customer, make_price, subscribe
from tests.fakes.stripe import FakeStripe
from tests.fakes.stripe.routes import ROUTES

CLASSES: dict[str, type[StripeObject]] = {
    "product": stripe.Product,
    "price": stripe.Price,
    "plan": stripe.Plan,
    "customer": stripe.Customer,
    "checkout.session": stripe.checkout.Session,
    "billing_portal.session": stripe.billing_portal.Session,
    "billing_portal.configuration": stripe.billing_portal.Configuration,
    "subscription": stripe.Subscription,
    "subscription_item": stripe.SubscriptionItem,
    "invoice": stripe.Invoice,
    "line_item": stripe.InvoiceLineItem,
    "event": stripe.Event,
}


def always_there(kind: type[StripeObject]) -> set[str]:
    """The fields of a class that may not be null."""
    return {
        name
        for name, annotation in kind.__annotations__.items()
        if name != "OBJECT_NAME" and type(None) not in get_args(annotation) and not str(annotation).startswith("typing.Optional")
    }


def check(thing: Any, kind: type[StripeObject], where: str) -> None:
    """Compare a thing, and all in it, with a class of the SDK."""
    if thing.get("deleted"):
        return
    assert set(thing) <= set(kind.__annotations__), f"{where}: {set(thing) - set(kind.__annotations__)}"
    assert always_there(kind) <= set(thing), f"{where}: {always_there(kind) - set(thing)}"
    inner: dict[str, type[StripeObject]] = getattr(kind, "_inner_class_types", {})
    for name, value in thing.items():
        check_value(value, inner.get(name), f"{where}.{name}")


def check_value(value: Any, kind: type[StripeObject] | None, where: str) -> None:
    """Compare a value: a list, a thing with a class of its own, or a part of its owner."""
    called = str(value.get("object")) if isinstance(value, dict) else ""
    if called == "list":
        value = value["data"]
    if isinstance(value, list):
        for part in value:
            check_value(part, kind, where)
    elif called in CLASSES:
        check(value, CLASSES[called], where)
    elif isinstance(value, dict) and kind is not None:
        check(value, kind, where)


def test_every_object_and_every_event_has_its_shape(fake: FakeStripe, sdk: StripeClient) -> None:
    customer = make_customer(sdk)
    made = subscribe(fake, sdk, customer, make_price(sdk))
    configuration = sdk.v1.billing_portal.configurations.create({"features": {"subscription_cancel": {"enabled": True}}})
    sdk.v1.billing_portal.sessions.create({"customer": customer.id, "configuration": configuration.id})
    fake.let_card_fail(customer.id)
    fake.advance(days=29)
    sdk.v1.subscriptions.cancel(made.id)
    kinds = {kind: list(things.values()) for kind, things in fake.account.objects.items()}
    assert all(kinds.values())
    for kind, things in kinds.items():
        for thing in things:
            check(thing, CLASSES[kind], kind)
    for event in kinds["event"]:
        found = event["data"]["object"]
        check(found, CLASSES[found["object"]], event["type"])
        assert event["type"] in get_args(stripe.Event.__annotations__["type"])


PARAMS = {
    "create_product": params.ProductCreateParams,
    "list_products": params.ProductListParams,
    "update_product": params.ProductUpdateParams,
    "create_price": params.PriceCreateParams,
    "list_prices": params.PriceListParams,
    "update_price": params.PriceUpdateParams,
    "create_customer": params.CustomerCreateParams,
    "list_customers": params.CustomerListParams,
    "update_customer": params.CustomerUpdateParams,
    "create_session": checkout.SessionCreateParams,
    "list_sessions": checkout.SessionListParams,
    "create_configuration": billing_portal.ConfigurationCreateParams,
    "list_configurations": billing_portal.ConfigurationListParams,
    "create_portal_session": billing_portal.SessionCreateParams,
    "list_subscriptions": params.SubscriptionListParams,
    "update_subscription": params.SubscriptionUpdateParams,
    "cancel_subscription": params.SubscriptionCancelParams,
    "list_invoices": params.InvoiceListParams,
    "list_lines": params.InvoiceLineItemListParams,
    "list_events": params.EventListParams,
}


@pytest.mark.parametrize("route", [route for route in ROUTES if route.params], ids=lambda route: route.answer.__name__)
def test_every_parameter_of_the_fake_is_one_of_the_sdk(route: Any) -> None:
    known = set(PARAMS[route.answer.__name__].__annotations__)
    assert set(route.params.split()) <= known
