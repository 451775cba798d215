"""Stripe's objects, as plain dictionaries, made into ours. Shapes are those of the API version that the SDK has pinned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from billing.stripe.shapes import BilledPeriod, SoldInvoice, SoldPrice, SoldSubscription, ToldEvent

Json = Mapping[str, Any]
# Names the plan of a price, also of one whose lookup key a newer price has by now.
PLAN_KEY = "slipway_plan"
# Returns the code of the plan that a price is for.
CodeOf = Callable[[str], str | None]


def moment(seconds: int) -> datetime:
    """Return an aware time."""
    return datetime.fromtimestamp(seconds, UTC)


def named(value: Any) -> str:
    """Return the id of something that may have been expanded, "" for nothing."""
    return str(value["id"] if isinstance(value, Mapping) else value or "")


def plan_code_of(price: Json) -> str | None:
    """Return the code of the plan that a price is for."""
    code = (price.get("metadata") or {}).get(PLAN_KEY) or price.get("lookup_key")
    return str(code) if code else None


def read_subscription(found: Json) -> SoldSubscription:
    """Return a subscription. The period is the item's: the subscription itself has none."""
    item = found["items"]["data"][0]
    flag = bool(found.get("cancel_at_period_end"))
    return SoldSubscription(
        id=found["id"],
        status=found["status"],
        item_id=item["id"],
        price_id=item["price"]["id"],
        plan_code=plan_code_of(item["price"]),
        anchor=moment(found["billing_cycle_anchor"]),
        period_start=moment(item["current_period_start"]),
        period_end=moment(item["current_period_end"]),
        # The portal sets the moment and not the flag.
        leaving=flag or found.get("cancel_at") is not None,
        leaving_flag=flag,
        latest_invoice=named(found.get("latest_invoice")),
        created=moment(found["created"]),
    )


def read_invoice(found: Json, lines: list[Json], code_of: CodeOf) -> SoldInvoice:
    """Return an invoice with all its lines."""
    details = (found.get("parent") or {}).get("subscription_details") or {}
    paid_at = found["status_transitions"].get("paid_at")
    changed = found.get("billing_reason") == "subscription_update"
    return SoldInvoice(
        id=found["id"],
        number=found.get("number") or "",
        status=found.get("status") or "draft",
        amount=found["total"],
        currency=found["currency"].upper(),
        issued_at=moment(found["created"]),
        paid_at=moment(paid_at) if paid_at else None,
        hosted_url=found.get("hosted_invoice_url") or "",
        pdf_url=found.get("invoice_pdf") or "",
        subscription_id=named(details.get("subscription")),
        lines=tuple(shown_line(line) for line in lines),
        periods=tuple(period for line in lines if (period := read_period(found["id"], line, changed, code_of))),
    )


def shown_line(line: Json) -> Json:
    """Return a line as it is shown."""
    start, end = (f"{moment(line['period'][edge]):%Y-%m-%dT%H:%M:%SZ}" for edge in ("start", "end"))
    return {"description": line.get("description") or "", "amount": line["amount"], "start": start, "end": end}


def read_period(invoice_id: str, line: Json, changed: bool, code_of: CodeOf) -> BilledPeriod | None:
    """Return the period that a line is for; None for a part of one (a proration), and for what is no subscription."""
    details = (line.get("parent") or {}).get("subscription_item_details")
    price = named(((line.get("pricing") or {}).get("price_details") or {}).get("price"))
    if not details or details.get("proration") or not price:
        return None
    return BilledPeriod(
        invoice_id=invoice_id,
        subscription_id=str(details["subscription"]),
        price_id=price,
        plan_code=code_of(price),
        start=moment(line["period"]["start"]),
        end=moment(line["period"]["end"]),
        change=changed,
    )


def read_price(found: Json) -> SoldPrice:
    """Return a price."""
    return SoldPrice(
        id=found["id"],
        product_id=named(found["product"]),
        plan_code=plan_code_of(found) or "",
        cents=int(found.get("unit_amount") or 0),
        currency=found["currency"],
        interval=(found.get("recurring") or {}).get("interval") or "",
        active=bool(found["active"]),
    )


def read_event(found: Json) -> ToldEvent:
    """Return what an event is about."""
    about = found["data"]["object"]
    customer = about.get("id") if about.get("object") == "customer" else named(about.get("customer"))
    return ToldEvent(
        id=found["id"],
        type=found["type"],
        customer=str(customer or ""),
        occurred_at=moment(found["created"]),
        about=str(about.get("id") or ""),
    )
