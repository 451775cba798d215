"""Putting another price into a subscription."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.calendars import period_at
from tests.fakes.stripe.forms import Form
from tests.fakes.stripe.invoices import collect, finalize, line_of, make_invoice
from tests.fakes.stripe.items import plan_of
from tests.fakes.stripe.refusals import declined, invalid
from tests.fakes.stripe.standing import settle


@dataclass(frozen=True)
class Change:
    """What a change brought at once: an invoice, and the end of a period that begins now."""

    invoice: Json | None = None
    new_end: int | None = None


def change_price(account: Account, subscription: Json, form: Form) -> Change:
    """Put `items[0][price]` into the only item; raises Refused, and changes nothing, when it is to be paid for and is not."""
    item = subscription["items"]["data"][0]
    asked = form["items"][0]
    if asked.get("id") != item["id"]:
        raise invalid("This fake has one item a subscription: name it by `id`.", param="items[0][id]")
    price = account.get("price", asked.get("price", ""), param="items[0][price]")
    if not price["active"]:
        raise invalid("The price specified is inactive. This field only accepts active prices.", param="items[0][price]")
    if price["currency"] != subscription["currency"]:
        raise invalid("You cannot combine currencies on a single customer.", param="items[0][price]")
    anew = wants_new_period(form) or price["recurring"]["interval"] != item["price"]["recurring"]["interval"]
    before = copy.deepcopy(subscription)
    lines = prorated(account, subscription, price, form, anew=anew)
    put(subscription, item, price, account.now, anew=anew)
    period = (item["current_period_start"], item["current_period_end"])
    if anew:
        lines.append(line_of(account, subscription, price, period, price["unit_amount"]))
    elif form.get("proration_behavior", "create_prorations") == "create_prorations":
        account.pending_lines.setdefault(subscription["id"], []).extend(lines)
        lines = []
    invoice = charge(account, subscription, lines, before, form) if lines else None
    return Change(invoice, period[1] if anew else None)


def wants_new_period(form: Form) -> bool:
    """Tell whether the billing cycle is to begin now."""
    anchor = form.get("billing_cycle_anchor") or {"type": "unchanged"}
    if not isinstance(anchor, dict) or anchor.get("type") not in ("now", "unchanged"):
        raise invalid("Invalid billing_cycle_anchor: name its type, now or unchanged.", param="billing_cycle_anchor")
    return bool(anchor["type"] == "now")


def prorated(account: Account, subscription: Json, price: Json, form: Form, *, anew: bool) -> list[Json]:
    """Return lines that give back the unused time of the old price and take the same time of the new one."""
    behavior = form.get("proration_behavior", "create_prorations")
    if behavior not in ("none", "create_prorations", "always_invoice"):
        raise invalid("Invalid proration_behavior.", param="proration_behavior")
    if behavior == "none":
        return []
    item = subscription["items"]["data"][0]
    start, end = item["current_period_start"], item["current_period_end"]
    part = (end - account.now) / (end - start)
    rest = (account.now, end)
    lines = [line_of(account, subscription, item["price"], rest, -round(item["price"]["unit_amount"] * part), proration=True)]
    if not anew:
        lines.append(line_of(account, subscription, price, rest, round(price["unit_amount"] * part), proration=True))
    return lines


def put(subscription: Json, item: Json, price: Json, now: int, *, anew: bool) -> None:
    """Write the price, and the period that begins with it."""
    item |= {"price": copy.deepcopy(price), "plan": plan_of(price)}
    if anew:
        recurring = price["recurring"]
        start, end = period_at(now, recurring["interval"], recurring["interval_count"], now)
        subscription["billing_cycle_anchor"] = now
        item |= {"current_period_start": start, "current_period_end": end}


def charge(account: Account, subscription: Json, lines: list[Json], before: Json, form: Form) -> Json:
    """Invoice a change and collect it; where it must be paid for and is not, all is as before."""
    must = form.get("payment_behavior") == "error_if_incomplete"
    if must and sum(line["amount"] for line in lines) > 0 and subscription["customer"] in account.failing:
        subscription |= before
        raise declined()
    invoice = make_invoice(account, subscription, lines, "subscription_update")
    finalize(account, invoice)
    settle(account, subscription, paid=collect(account, invoice))
    return invoice
