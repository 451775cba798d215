"""Checkout sessions in mode subscription, and what a customer does on their pay page."""

from __future__ import annotations

from functools import partial

from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.forms import Form
from tests.fakes.stripe.pages import page
from tests.fakes.stripe.refusals import declined, invalid
from tests.fakes.stripe.subscriptions import begin

OPEN_SECONDS = 24 * 3600


def create_session(account: Account, form: Form) -> Json:
    """POST /v1/checkout/sessions: a customer, one price once, and where to go afterwards."""
    if form.get("mode") != "subscription":
        raise invalid("This fake sells subscriptions only.", param="mode")
    if "success_url" not in form:
        raise invalid("Missing required param: success_url.", param="success_url", code="parameter_missing")
    items = form.get("line_items") or []
    if len(items) != 1 or items[0].get("quantity", "1") != "1":
        raise invalid("This fake sells one thing once.", param="line_items")
    customer = account.get("customer", form.get("customer", ""), param="customer")
    price = account.get("price", items[0].get("price", ""), param="line_items[0][price]")
    if not price["active"]:
        raise invalid("The price specified is inactive. This field only accepts active prices.", param="line_items[0][price]")
    made = account.make("cs_test", session_of(account, form, customer, price))
    made["url"] = f"{account.url}/pay/{made['id']}"
    subscription_metadata = (form.get("subscription_data") or {}).get("metadata") or {}
    account.baskets[made["id"]] = {"price": price["id"], "metadata": subscription_metadata}
    account.schedule(made["expires_at"], partial(lapse, account, made))
    return made


def session_of(account: Account, form: Form, customer: Json, price: Json) -> Json:
    """Return a session that is open."""
    return {
        "amount_subtotal": price["unit_amount"],
        "amount_total": price["unit_amount"],
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "cancel_url": form.get("cancel_url"),
        "client_reference_id": form.get("client_reference_id"),
        "currency": price["currency"],
        "custom_fields": [],
        "custom_text": {"after_submit": None, "shipping_address": None, "submit": None, "terms_of_service_acceptance": None},
        "customer": customer["id"],
        "customer_creation": None,
        "customer_details": {"email": customer["email"], "name": customer["name"], "tax_exempt": "none", "tax_ids": None},
        "customer_email": None,
        "expires_at": int(form.get("expires_at", account.now + OPEN_SECONDS)),
        "invoice": None,
        "locale": None,
        "metadata": form.get("metadata") or {},
        "mode": "subscription",
        "payment_intent": None,
        "payment_method_collection": "always",
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "setup_intent": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": form["success_url"],
        "ui_mode": "hosted_page",
    }


def retrieve_session(account: Account, form: Form, name: str) -> Json:
    """GET /v1/checkout/sessions/{id}."""
    return account.get("checkout.session", name)


def list_sessions(account: Account, form: Form) -> Json:
    """GET /v1/checkout/sessions."""
    found = [
        session
        for session in account.all("checkout.session")
        if all(form.get(name) in (None, session[name]) for name in ("customer", "subscription", "status"))
    ]
    return page("/v1/checkout/sessions", found, form)


def expire_session(account: Account, form: Form, name: str) -> Json:
    """POST /v1/checkout/sessions/{id}/expire."""
    found = account.get("checkout.session", name)
    if found["status"] != "open":
        raise invalid(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of {found["status"]}.'
        )
    lapse(account, found)
    return found


def lapse(account: Account, session: Json) -> None:
    """Close a session that nobody paid."""
    if session["status"] == "open":
        session |= {"status": "expired", "url": None}
        emit(account, "checkout.session.expired", session)


def pay(account: Account, name: str) -> Json:
    """Pay as the customer does on the page; a card that fails leaves the session open and makes no subscription."""
    session = account.get("checkout.session", name)
    if session["status"] == "complete":
        return session  # The page only says that it is done.
    if session["status"] != "open":
        raise invalid("This Checkout Session has expired.")
    if account.get("customer", session["customer"]).get("deleted"):
        raise invalid("The customer of this Checkout Session is gone.")
    if session["customer"] in account.failing:
        raise declined()
    basket = account.baskets[name]
    subscription = begin(account, session["customer"], account.objects["price"][basket["price"]], basket["metadata"])
    session |= {
        "status": "complete",
        "payment_status": "paid",
        "url": None,
        "subscription": subscription["id"],
        "invoice": subscription["latest_invoice"],
    }
    emit(account, "checkout.session.completed", session)
    return session
