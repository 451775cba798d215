"""What a subscription is of: one price, once."""

from __future__ import annotations

import copy

from tests.fakes.stripe.account import Account, Json


def item_of(account: Account, subscription: str, price: Json, period: tuple[int, int]) -> Json:
    """Return the item of a subscription: the price, and its present period, which is nowhere else."""
    return {
        "id": f"si_{next(account.numbers):08d}",
        "object": "subscription_item",
        "created": account.now,
        "current_period_start": period[0],
        "current_period_end": period[1],
        "discounts": [],
        "metadata": {},
        "plan": plan_of(price),
        "price": copy.deepcopy(price),
        "quantity": 1,
        "subscription": subscription,
        "tax_rates": [],
    }


def plan_of(price: Json) -> Json:
    """Return a price as the plan that it was called before."""
    same = {name: price[name] for name in ("id", "active", "billing_scheme", "created", "currency", "livemode", "metadata", "product")}
    recurring = {name: price["recurring"][name] for name in ("interval", "interval_count", "usage_type")}
    return {"object": "plan", "amount": price["unit_amount"], "nickname": price["nickname"], **same, **recurring}
