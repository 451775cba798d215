"""Subscriptions: begun by a checkout, renewed by the clock, changed and cancelled by whoever asks."""

from __future__ import annotations

from functools import partial

from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.calendars import period_at
from tests.fakes.stripe.changes import change_price
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.forms import Form, flag
from tests.fakes.stripe.invoices import collect, collect_later, finalize, finalize_later, line_of, make_invoice
from tests.fakes.stripe.items import item_of
from tests.fakes.stripe.pages import envelope, page
from tests.fakes.stripe.refusals import invalid, missing
from tests.fakes.stripe.standing import LIVE, end, expire_incomplete, settle

# A renewal's invoice stays a draft for so long.
DRAFT_SECONDS = 3600
INCOMPLETE_SECONDS = 23 * 3600


def begin(account: Account, customer: str, price: Json, metadata: Json) -> Json:
    """Begin a subscription now and try to collect its first invoice; while that fails it is incomplete."""
    period = period_at(account.now, price["recurring"]["interval"], price["recurring"]["interval_count"], account.now)
    made = account.make("sub", blank(account, customer, price, metadata))
    made["items"] = envelope(f"/v1/subscription_items?subscription={made['id']}", [item_of(account, made["id"], price, period)])
    emit(account, "customer.subscription.created", made)
    invoice = make_invoice(account, made, [line_of(account, made, price, period, price["unit_amount"])], "subscription_create")
    finalize(account, invoice)
    settle(account, made, paid=collect(account, invoice))
    account.schedule(account.now + INCOMPLETE_SECONDS, partial(expire_incomplete, account, made))
    account.schedule(period[1], partial(renew, account, made, period[1]))
    return made


def blank(account: Account, customer: str, price: Json, metadata: Json) -> Json:
    """Return what a subscription is before it has an item."""
    return {
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": account.now,
        "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible", "updated_at": account.now},
        "billing_schedules": [],
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "currency": price["currency"],
        "customer": customer,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "latest_invoice": None,
        "metadata": dict(metadata),
        "pause_collection": None,
        "pending_update": None,
        "schedule": None,
        "start_date": account.now,
        "status": "incomplete",
        "test_clock": None,
        "trial_end": None,
        "trial_start": None,
    }


def renew(account: Account, subscription: Json, expected: int) -> None:
    """Begin the next period, or end a subscription that is to end. A period that was left meanwhile is not renewed."""
    item = subscription["items"]["data"][0]
    if subscription["status"] not in LIVE or item["current_period_end"] != expected:
        return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= expected:
        end(account, subscription)
        return
    recurring = item["price"]["recurring"]
    period = period_at(subscription["billing_cycle_anchor"], recurring["interval"], recurring["interval_count"], account.now)
    item |= {"current_period_start": period[0], "current_period_end": period[1]}
    emit(account, "customer.subscription.updated", subscription)
    lines = [*account.pending_lines.pop(subscription["id"], []), line_of(account, subscription, item["price"], period, amount_of(item))]
    invoice = make_invoice(account, subscription, lines, "subscription_cycle")
    finalize_later(account, invoice, DRAFT_SECONDS)
    account.schedule(period[1], partial(renew, account, subscription, period[1]))


def amount_of(item: Json) -> int:
    """Return what a period of an item costs, in cents."""
    found: int = item["price"]["unit_amount"]
    return found


def retrieve_subscription(account: Account, form: Form, name: str) -> Json:
    """GET /v1/subscriptions/{id}."""
    return account.get("subscription", name)


def list_subscriptions(account: Account, form: Form) -> Json:
    """GET /v1/subscriptions: without a status those that have not ended, with `all` all of them."""
    status = form.get("status", "")
    if (customer := form.get("customer")) and customer not in account.objects["customer"]:
        raise missing("customer", customer, param="customer")

    def wanted(found: Json) -> bool:
        if customer not in (None, found["customer"]):
            return False
        if status == "all":
            return True
        ended = found["status"] in ("canceled", "incomplete_expired")
        return found["status"] == status or (status == "ended" and ended) or (not status and not ended)

    return page("/v1/subscriptions", [found for found in account.all("subscription") if wanted(found)], form)


def update_subscription(account: Account, form: Form, name: str) -> Json:
    """POST /v1/subscriptions/{id}."""
    found = account.get("subscription", name)
    if found["status"] in ("canceled", "incomplete_expired"):
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    if "items" in form:
        change = change_price(account, found, form)
        collect_later(account, change.invoice) if change.invoice else None
        if change.new_end:
            account.schedule(change.new_end, partial(renew, account, found, change.new_end))
    found["metadata"].update(form.get("metadata") or {})
    if "cancel_at_period_end" in form and "cancel_at" in form:
        raise invalid("You may only specify one of these parameters: cancel_at, cancel_at_period_end.", param="cancel_at")
    if "cancel_at_period_end" in form:
        leave(account, found, flag(form, "cancel_at_period_end"), flagged=True)
    if "cancel_at" in form:
        leave_at(account, found, form["cancel_at"])
    emit(account, "customer.subscription.updated", found)
    return found


def leave(account: Account, subscription: Json, leaving: bool, *, flagged: bool) -> None:
    """End a subscription with its period, or not. The portal does so by `cancel_at` alone, without the flag."""
    ends = subscription["items"]["data"][0]["current_period_end"]
    subscription |= {
        "cancel_at_period_end": leaving and flagged,
        "cancel_at": ends if leaving else None,
        "canceled_at": account.now if leaving else None,
    }
    subscription["cancellation_details"]["reason"] = "cancellation_requested" if leaving else None


def leave_at(account: Account, subscription: Json, moment: str) -> None:
    """Follow `cancel_at`: the end of the period, or nothing to stay."""
    if subscription["cancel_at_period_end"]:
        raise invalid("The subscription is to end with its period: set cancel_at_period_end.", param="cancel_at")
    if moment not in ("", str(subscription["items"]["data"][0]["current_period_end"])):
        raise invalid("This fake ends subscriptions with their periods only.", param="cancel_at")
    leave(account, subscription, bool(moment), flagged=False)


def leave_in_portal(account: Account, name: str) -> None:
    """Cancel as a customer does in the portal: with the period."""
    found = account.get("subscription", name)
    leave(account, found, True, flagged=False)
    emit(account, "customer.subscription.updated", found)


def cancel_subscription(account: Account, form: Form, name: str) -> Json:
    """DELETE /v1/subscriptions/{id}: at once."""
    found = account.get("subscription", name)
    if found["status"] not in LIVE:
        raise missing("subscription", name)
    end(account, found)
    return found
