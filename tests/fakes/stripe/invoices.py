"""Invoices: made for a period of a subscription, finalized, and paid by card or not."""

from __future__ import annotations

from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.forms import Form
from tests.fakes.stripe.pages import envelope, page
from tests.fakes.stripe.refusals import declined, invalid
from tests.fakes.stripe.standing import LIVE, end, settle

DAY = 86_400
# Days between the attempts to collect an invoice; after the last one the subscription ends.
RETRY_DAYS = (3, 5, 7)


def line_of(account: Account, subscription: Json, price: Json, period: tuple[int, int], amount: int, *, proration: bool = False) -> Json:
    """Return a line: a period of a price, or a part of one."""
    return {
        "id": f"il_{next(account.numbers):08d}",
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": f"1 x {account.objects['product'][price['product']]['name']}",
        "discount_amounts": [],
        "discountable": not proration,
        "discounts": [],
        "livemode": False,
        "metadata": dict(subscription["metadata"]),
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": proration,
                "proration_details": {"credited_items": None} if proration else None,
                "subscription": subscription["id"],
                "subscription_item": subscription["items"]["data"][0]["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": str(amount),
        },
        "quantity": 1,
        "quantity_decimal": "1",
        "subtotal": amount,
        "taxes": [],
    }


def make_invoice(account: Account, subscription: Json, lines: list[Json], reason: str) -> Json:
    """Return a draft with these lines."""
    customer = account.get("customer", subscription["customer"])
    total = max(0, sum(line["amount"] for line in lines))
    made = account.make("in", {**amounts(total), **addressee(customer), **draft(subscription, reason, account.now)})
    made["lines"] = envelope(f"/v1/invoices/{made['id']}/lines", [{**line, "invoice": made["id"]} for line in lines])
    subscription["latest_invoice"] = made["id"]
    emit(account, "invoice.created", made)
    return made


def amounts(total: int) -> Json:
    """Return what is to be paid, in cents."""
    return {
        "amount_due": total,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": total,
        "amount_shipping": 0,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }


def addressee(customer: Json) -> Json:
    """Return whom an invoice is for, as the customer was called then."""
    return {
        "customer": customer["id"],
        "customer_email": customer.get("email"),
        "customer_name": customer.get("name"),
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
    }


def draft(subscription: Json, reason: str, now: int) -> Json:
    """Return what an invoice is when it is made."""
    return {
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None, "provider": None, "status": None},
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "currency": subscription["currency"],
        "default_tax_rates": [],
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]},
            "type": "subscription_details",
        },
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_start": now,
        "period_end": now,
        "status": "draft",
        "status_transitions": {"finalized_at": None, "marked_uncollectible_at": None, "paid_at": None, "voided_at": None},
    }


def finalize(account: Account, invoice: Json) -> None:
    """Give an invoice its number; from now on it does not change."""
    customer = account.objects["customer"][invoice["customer"]]
    sequence = customer.get("next_invoice_sequence", 1)
    customer["next_invoice_sequence"] = sequence + 1
    page_url = f"{account.url}/invoice/{invoice['id']}"
    invoice |= {
        "status": "open",
        "number": f"{customer.get('invoice_prefix', 'GONE')}-{sequence:04d}",
        "effective_at": account.now,
        "hosted_invoice_url": page_url,
        "invoice_pdf": f"{page_url}/pdf",
    }
    invoice["status_transitions"]["finalized_at"] = account.now
    emit(account, "invoice.finalized", invoice)


def collect(account: Account, invoice: Json) -> bool:
    """Try to collect an invoice by the customer's card; tell whether it is paid."""
    if invoice["status"] != "open":
        return bool(invoice["status"] == "paid")
    invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1, "next_payment_attempt": None}
    if invoice["amount_due"] and invoice["customer"] in account.failing:
        emit(account, "invoice.payment_failed", invoice)
        return False
    invoice |= {"status": "paid", "amount_paid": invoice["amount_due"], "amount_remaining": 0, "auto_advance": False}
    invoice["status_transitions"]["paid_at"] = account.now
    emit(account, "invoice.paid", invoice)
    emit(account, "invoice.payment_succeeded", invoice)
    return True


def collect_later(account: Account, invoice: Json) -> None:
    """Try again in some days, or give up and end the subscription."""
    subscription = account.objects["subscription"][invoice["parent"]["subscription_details"]["subscription"]]

    def again() -> None:
        if invoice["status"] == "open" and invoice["auto_advance"]:
            settle(account, subscription, paid=collect(account, invoice))
            collect_later(account, invoice)

    if invoice["status"] != "open":
        return
    if invoice["attempt_count"] > len(RETRY_DAYS):
        end(account, subscription, reason="payment_failed")
        return
    invoice["next_payment_attempt"] = account.now + RETRY_DAYS[invoice["attempt_count"] - 1] * DAY
    account.schedule(invoice["next_payment_attempt"], again)


def retrieve_invoice(account: Account, form: Form, name: str) -> Json:
    """GET /v1/invoices/{id}."""
    return account.get("invoice", name)


def list_lines(account: Account, form: Form, name: str) -> Json:
    """GET /v1/invoices/{id}/lines."""
    return page(f"/v1/invoices/{name}/lines", account.get("invoice", name)["lines"]["data"], form)


def list_invoices(account: Account, form: Form) -> Json:
    """GET /v1/invoices, of a customer, a subscription, a status, a time."""
    since = int(form.get("created", {}).get("gte", 0))
    found = [
        invoice
        for invoice in account.all("invoice")
        if form.get("customer") in (None, invoice["customer"])
        and form.get("subscription") in (None, invoice["parent"]["subscription_details"]["subscription"])
        and form.get("status") in (None, invoice["status"])
        and invoice["created"] >= since
    ]
    return page("/v1/invoices", found, form)


def pay_invoice(account: Account, form: Form, name: str) -> Json:
    """POST /v1/invoices/{id}/pay."""
    invoice = account.get("invoice", name)
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid", code="invoice_already_paid")
    if invoice["status"] != "open":
        raise invalid(f"This invoice is {invoice['status']} and cannot be paid.", code="invoice_not_editable")
    subscription = account.objects["subscription"][invoice["parent"]["subscription_details"]["subscription"]]
    paid = collect(account, invoice)
    settle(account, subscription, paid=paid)
    if not paid:
        raise declined()
    return invoice


def finalize_later(account: Account, invoice: Json, seconds: int) -> None:
    """Leave an invoice a draft for a while, as Stripe does at renewals, then finalize and collect it."""
    subscription = account.objects["subscription"][invoice["parent"]["subscription_details"]["subscription"]]

    def act() -> None:
        if subscription["status"] not in LIVE:
            return
        finalize(account, invoice)
        settle(account, subscription, paid=collect(account, invoice))
        collect_later(account, invoice)

    account.schedule(account.now + seconds, act)
