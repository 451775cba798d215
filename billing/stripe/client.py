"""The only module that speaks with Stripe. It raises our errors and returns our shapes; nothing of the SDK leaves it.

Time-outs and retries are set here. A retry of the SDK has the key of the first attempt, so that what is done is done once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from uuid import uuid4

import stripe

from billing.stripe.errors import CardRefused, RefusedByStripe, StripeUnavailable, UnknownAtStripe, WrongSignature
from billing.stripe.reading import PLAN_KEY, plan_code_of, read_event, read_invoice, read_price, read_subscription
from billing.stripe.shapes import CustomerState, SoldInvoice, SoldPrice, SoldSubscription, ToldEvent

logger = logging.getLogger(__name__)

CONNECT_SECONDS, ANSWER_SECONDS, RETRIES = 4.0, 15.0, 2
# Signatures that are older are somebody's who has recorded them.
OLDEST_SIGNATURE_SECONDS = 300
PAGE = 100
MOST_LOOKUP_KEYS = 10

stripe.enable_telemetry = False


@contextmanager
def translated() -> Iterator[None]:
    """Turn the SDK's errors into ours. Its messages may hold parts of keys: they are not logged."""
    try:
        yield
    except stripe.CardError as error:
        raise CardRefused from error
    except stripe.InvalidRequestError as error:
        translate_refusal(error)
    except stripe.StripeError as error:
        logger.warning("stripe: %s, status %s, request %s", type(error).__name__, error.http_status, error.request_id)
        raise StripeUnavailable(answered=(error.http_status or 0) >= 500) from error


def translate_refusal(error: stripe.InvalidRequestError) -> NoReturn:
    """Tell what Stripe does not know from what it will not do."""
    logger.debug("stripe: refused with %s (%s), request %s", error.code, error.param, error.request_id)
    raise (UnknownAtStripe if error.code == "resource_missing" else RefusedByStripe)(error.code or "") from error


def once(key: str | None = None) -> stripe.RequestOptions:
    """Return the options of a request that changes something: the same key is carried out once within a day."""
    return {"idempotency_key": key or str(uuid4())}


class StripeApi:
    """Stripe, opened with a secret key; `base` is another address than Stripe's own (tests)."""

    def __init__(self, secret_key: str, base: str = "") -> None:
        self.http = stripe.RequestsClient(timeout=(CONNECT_SECONDS, ANSWER_SECONDS))
        addresses: Any = {"api": base} if base else {}
        self.sdk = stripe.StripeClient(secret_key, base_addresses=addresses, http_client=self.http, max_network_retries=RETRIES)
        self.codes: dict[str, str | None] = {}

    def close(self) -> None:
        """Close this thread's connections."""
        self.http.close()  # type: ignore[no-untyped-call]

    # --- customers ---------------------------------------------------------------------------------------------------------------------

    def create_customer(self, *, name: str, email: str, metadata: dict[str, str], key: str) -> str:
        """Make a customer; return its id."""
        with translated():
            return self.sdk.v1.customers.create({"name": name, "email": email, "metadata": metadata}, once(key)).id

    def customer_state(self, customer_id: str) -> CustomerState:
        """Return all that Stripe knows of a customer, in three questions or a few more. Raises `UnknownAtStripe` for one it never had."""
        with translated():
            exists = not getattr(self.sdk.v1.customers.retrieve(customer_id), "deleted", False)
        try:
            with translated():
                return CustomerState(customer_id, exists, self.subscriptions_of(customer_id), self.invoices_of(customer_id))
        except UnknownAtStripe:
            return CustomerState(customer_id, exists)

    def subscriptions_of(self, customer_id: str) -> tuple[SoldSubscription, ...]:
        """Return a customer's subscriptions, ended ones too."""
        found = self.sdk.v1.subscriptions.list({"customer": customer_id, "status": "all", "limit": PAGE})
        return tuple(self.sold(one) for one in found.auto_paging_iter())

    def invoices_of(self, customer_id: str) -> tuple[SoldInvoice, ...]:
        """Return a customer's invoices that have been issued."""
        found = self.sdk.v1.invoices.list({"customer": customer_id, "limit": PAGE})
        return tuple(self.billed(one) for one in found.auto_paging_iter() if one.status != "draft")

    def sold(self, found: stripe.Subscription) -> SoldSubscription:
        """Return our shape of a subscription, and remember what its price is for."""
        sold = read_subscription(found.to_dict())
        self.codes[sold.price_id] = sold.plan_code
        return sold

    def billed(self, found: stripe.Invoice) -> SoldInvoice:
        """Return our shape of an invoice, with the lines that did not fit into it."""
        lines: list[Any] = [line.to_dict() for line in found.lines.auto_paging_iter()]
        return read_invoice(found.to_dict(), lines, self.code_of)

    def code_of(self, price_id: str) -> str | None:
        """Return the code of the plan that a price is for. Asked once a process: prices do not change what they are for."""
        if self.codes.get(price_id) is None:
            try:
                with translated():
                    self.codes[price_id] = plan_code_of(self.sdk.v1.prices.retrieve(price_id).to_dict())
            except UnknownAtStripe:
                return None
        return self.codes[price_id]

    # --- buying ------------------------------------------------------------------------------------------------------------------------

    def close_checkouts(self, customer_id: str) -> None:
        """Expire the customer's pay pages that are still open, so that no two are paid. One that was paid just now stays as it is."""
        with translated():
            found = self.sdk.v1.checkout.sessions.list({"customer": customer_id, "status": "open", "limit": PAGE})
            for session in list(found.auto_paging_iter()):
                try:
                    with translated():
                        self.sdk.v1.checkout.sessions.expire(session.id, {}, once())
                except RefusedByStripe:
                    logger.info("stripe: checkout session %s was open no more", session.id)

    def create_checkout(self, *, customer_id: str, price_id: str, urls: tuple[str, str], metadata: dict[str, str]) -> str:
        """Return the address of a pay page for a subscription. `urls` are where it leads to when it is paid, and when it is left."""
        with translated():
            session = self.sdk.v1.checkout.sessions.create(
                {
                    "mode": "subscription",
                    "customer": customer_id,
                    "line_items": [{"price": price_id, "quantity": 1}],
                    "success_url": urls[0],
                    "cancel_url": urls[1],
                    "metadata": metadata,
                    "subscription_data": {"metadata": metadata},
                },
                once(),
            )
        return str(session.url)

    def portal_url(self, *, customer_id: str, return_url: str, installation: str) -> str:
        """Return the address of the customer's portal."""
        with translated():
            session = self.sdk.v1.billing_portal.sessions.create(
                {"customer": customer_id, "return_url": return_url, "configuration": self.portal_configuration(installation)}, once()
            )
        return session.url

    def portal_configuration(self, installation: str) -> str:
        """Return the id of our portal's configuration, made at the first call.

        Customers see invoices, change cards and cancel; plans they change here, where credits are granted and nothing is prorated.
        """
        for found in self.sdk.v1.billing_portal.configurations.list({"active": True, "limit": PAGE}).auto_paging_iter():
            if found.metadata and found.metadata.to_dict().get("slipway_installation") == installation:
                return found.id
        features: Any = {
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True},
            "customer_update": {"enabled": True, "allowed_updates": ["address", "email", "name", "tax_id"]},
            "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
            "subscription_update": {"enabled": False},
        }
        made = self.sdk.v1.billing_portal.configurations.create(
            {"features": features, "name": "Slipway", "metadata": {"slipway_installation": installation}}, once(f"portal:{installation}")
        )
        return made.id

    # --- subscriptions -----------------------------------------------------------------------------------------------------------------

    def change_price(self, subscription: SoldSubscription, *, price_id: str, key: str) -> None:
        """Put another price into a subscription: its period begins now, and is paid in full now, or nothing changes.

        Nothing is given back for the old period: its credits stay valid. Raises `CardRefused`.
        """
        changes: Any = {
            "items": [{"id": subscription.item_id, "price": price_id}],
            "billing_cycle_anchor": {"type": "now"},
            "proration_behavior": "none",
            "payment_behavior": "error_if_incomplete",
            **staying(subscription),
        }
        with translated():
            self.sdk.v1.subscriptions.update(subscription.id, changes, once(key))

    def leave(self, subscription: SoldSubscription) -> None:
        """Let a subscription end with its period."""
        with translated():
            self.sdk.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True}, once())

    def stay(self, subscription: SoldSubscription) -> None:
        """Let a subscription that was to end go on."""
        changes: Any = staying(subscription)
        with translated():
            self.sdk.v1.subscriptions.update(subscription.id, changes, once())

    def cancel_now(self, subscription_id: str) -> None:
        """End a subscription at once; one that has ended already stays as it is."""
        try:
            with translated():
                self.sdk.v1.subscriptions.cancel(subscription_id, {}, once())
        except UnknownAtStripe:
            logger.info("stripe: subscription %s has ended already", subscription_id)

    # --- catalogue ---------------------------------------------------------------------------------------------------------------------

    def prices_by_plan(self, codes: list[str]) -> dict[str, SoldPrice]:
        """Return the active prices that have these codes as lookup keys."""
        found: dict[str, SoldPrice] = {}
        for start in range(0, len(codes), MOST_LOOKUP_KEYS):
            some = codes[start : start + MOST_LOOKUP_KEYS]
            with translated():
                prices = self.sdk.v1.prices.list({"lookup_keys": some, "active": True, "limit": PAGE})
                found |= {str(one.lookup_key): read_price(one.to_dict()) for one in prices.auto_paging_iter()}
        return found

    def ensure_product(self, *, product_id: str, name: str, metadata: dict[str, str]) -> None:
        """Make a product, unless there is one of this id."""
        try:
            with translated():
                self.sdk.v1.products.retrieve(product_id)
        except UnknownAtStripe:
            with translated():
                self.sdk.v1.products.create({"id": product_id, "name": name, "metadata": metadata}, once(f"product:{product_id}"))

    def create_price(self, *, product_id: str, code: str, cents: int, currency: str, interval: str) -> str:
        """Make a price for a plan and give it the plan's lookup key, which an older price loses; return its id."""
        wanted: Any = {
            "product": product_id,
            "currency": currency,
            "unit_amount": cents,
            "recurring": {"interval": interval},
            "lookup_key": code,
            "transfer_lookup_key": True,
            "metadata": {PLAN_KEY: code},
        }
        with translated():
            return self.sdk.v1.prices.create(wanted, once()).id

    def archive_price(self, price_id: str) -> None:
        """Sell a price no more; subscriptions to it go on."""
        with translated():
            self.sdk.v1.prices.update(price_id, {"active": False}, once())


def staying(subscription: SoldSubscription) -> dict[str, Any]:
    """Return what makes a subscription go on: the flag and the moment cannot be sent together."""
    if subscription.leaving_flag:
        return {"cancel_at_period_end": False}
    return {"cancel_at": ""} if subscription.leaving else {}


def verified_event(body: bytes, signature: str, secret: str) -> ToldEvent:
    """Return what a webhook says. Raises `WrongSignature`."""
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, OLDEST_SIGNATURE_SECONDS)
        return read_event(json.loads(body))
    # A body that is no UTF-8 or no JSON, and a signature of strange characters, are as wrong as one of another secret.
    except (stripe.SignatureVerificationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WrongSignature from error
