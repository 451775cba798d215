"""Customers."""

from __future__ import annotations

from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.forms import Form
from tests.fakes.stripe.pages import page
from tests.fakes.stripe.standing import LIVE, end


def create_customer(account: Account, form: Form) -> Json:
    """POST /v1/customers."""
    content: Json = {
        "address": None,
        "balance": 0,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": form.get("description"),
        "discount": None,
        "email": form.get("email"),
        "invoice_prefix": f"F{len(account.objects['customer']) + 1:07d}",
        "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None, "rendering_options": None},
        "metadata": form.get("metadata") or {},
        "name": form.get("name"),
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    made = account.make("cus", content)
    emit(account, "customer.created", made)
    return made


def retrieve_customer(account: Account, form: Form, name: str) -> Json:
    """GET /v1/customers/{id}: one that was deleted is a stub."""
    return account.get("customer", name)


def update_customer(account: Account, form: Form, name: str) -> Json:
    """POST /v1/customers/{id}."""
    found = account.get("customer", name, param="customer")
    found.update({key: form[key] for key in ("name", "email", "description") if key in form})
    found["metadata"].update(form.get("metadata") or {})
    emit(account, "customer.updated", found)
    return found


def delete_customer(account: Account, form: Form, name: str) -> Json:
    """DELETE /v1/customers/{id}: ends the customer's subscriptions at once."""
    found = account.get("customer", name, param="customer")
    for subscription in account.all("subscription"):
        if subscription["customer"] == name and subscription["status"] in LIVE:
            end(account, subscription)
    emit(account, "customer.deleted", found)
    stub = {"id": name, "object": "customer", "deleted": True}
    account.objects["customer"][name] = stub
    return stub


def list_customers(account: Account, form: Form) -> Json:
    """GET /v1/customers."""
    found = [customer for customer in account.all("customer") if form.get("email") in (None, customer["email"])]
    return page("/v1/customers", found, form)
