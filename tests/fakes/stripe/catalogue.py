"""Products and prices."""

from __future__ import annotations

from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.calendars import MONTHS
from tests.fakes.stripe.events import emit
from tests.fakes.stripe.forms import Form, flag
from tests.fakes.stripe.pages import page
from tests.fakes.stripe.refusals import invalid


def create_product(account: Account, form: Form) -> Json:
    """POST /v1/products; `id` may be chosen."""
    if "name" not in form:
        raise invalid("Missing required param: name.", param="name", code="parameter_missing")
    if form.get("id") in account.objects["product"]:
        raise invalid("Product already exists.", param="id", code="resource_already_exists")
    content = {
        "active": flag(form, "active", default=True),
        "default_price": None,
        "description": form.get("description"),
        "images": [],
        "marketing_features": [],
        "metadata": form.get("metadata") or {},
        "name": form["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": account.now,
        "url": None,
    }
    made = account.make("prod", content)
    if "id" in form:
        del account.objects["product"][made["id"]]
        made["id"] = form["id"]
        account.objects["product"][made["id"]] = made
    emit(account, "product.created", made)
    return made


def update_product(account: Account, form: Form, name: str) -> Json:
    """POST /v1/products/{id}."""
    found = account.get("product", name)
    found.update({key: form[key] for key in ("name", "description") if key in form})
    found["active"] = flag(form, "active", default=found["active"])
    found["metadata"].update(form.get("metadata") or {})
    found["updated"] = account.now
    emit(account, "product.updated", found)
    return found


def retrieve_product(account: Account, form: Form, name: str) -> Json:
    """GET /v1/products/{id}."""
    return account.get("product", name)


def list_products(account: Account, form: Form) -> Json:
    """GET /v1/products."""
    found = account.all("product")
    if "ids" in form:
        found = [product for product in found if product["id"] in form["ids"]]
    if "active" in form:
        found = [product for product in found if product["active"] == flag(form, "active")]
    return page("/v1/products", found, form)


def create_price(account: Account, form: Form) -> Json:
    """POST /v1/prices, of so much every month or year. `unit_amount` is in cents."""
    product = account.get("product", form.get("product", ""), param="product")
    recurring = form.get("recurring") or {}
    if recurring.get("interval") not in MONTHS:
        raise invalid("Invalid recurring[interval]: must be one of month, year", param="recurring[interval]")
    take_lookup_key(account, form)
    amount = int(form["unit_amount"])
    content = {
        "active": flag(form, "active", default=True),
        "billing_scheme": "per_unit",
        "currency": form["currency"],
        "custom_unit_amount": None,
        "lookup_key": form.get("lookup_key"),
        "metadata": form.get("metadata") or {},
        "nickname": form.get("nickname"),
        "product": product["id"],
        "recurring": {
            "interval": recurring["interval"],
            "interval_count": int(recurring.get("interval_count", 1)),
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tax_behavior": form.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
    made = account.make("price", content)
    emit(account, "price.created", made)
    return made


def take_lookup_key(account: Account, form: Form, *, of: str | None = None) -> None:
    """Refuse a key that another price has, unless it is to be transferred."""
    key = form.get("lookup_key")
    for price in account.all("price") if key else []:
        if price["lookup_key"] != key or price["id"] == of:
            continue
        if not flag(form, "transfer_lookup_key"):
            raise invalid(f"A price (`{price['id']}`) already uses that lookup key.", param="lookup_key")
        price["lookup_key"] = None
        emit(account, "price.updated", price, lookup_key=key)


def update_price(account: Account, form: Form, name: str) -> Json:
    """POST /v1/prices/{id}: what it costs never changes."""
    found = account.get("price", name)
    take_lookup_key(account, form, of=name)
    found["active"] = flag(form, "active", default=found["active"])
    found.update({key: form[key] for key in ("lookup_key", "nickname") if key in form})
    found["metadata"].update(form.get("metadata") or {})
    emit(account, "price.updated", found)
    return found


def retrieve_price(account: Account, form: Form, name: str) -> Json:
    """GET /v1/prices/{id}."""
    return account.get("price", name)


def list_prices(account: Account, form: Form) -> Json:
    """GET /v1/prices."""
    found = account.all("price")
    if "lookup_keys" in form:
        if len(form["lookup_keys"]) > 10:
            raise invalid("You may only specify up to 10 of these.", param="lookup_keys")
        found = [price for price in found if price["lookup_key"] in form["lookup_keys"]]
    if "active" in form:
        found = [price for price in found if price["active"] == flag(form, "active")]
    if "product" in form:
        found = [price for price in found if price["product"] == form["product"]]
    return page("/v1/prices", found, form)
