"""Products and prices at Stripe for the plans that are offered: a price is found by its lookup key, which is the plan's code."""

from __future__ import annotations

from dataclasses import dataclass

from billing.models import Plan, PlanInterval
from billing.stripe.access import stripe_api
from billing.stripe.buying import priced

SOLD_EVERY = (PlanInterval.MONTH, PlanInterval.YEAR)


@dataclass(frozen=True, slots=True)
class SyncedPlan:
    """What came of a plan: "as it was", "made" or "new price" (the old one is sold no more; its subscribers keep it)."""

    code: str
    outcome: str


def sync_plans() -> list[SyncedPlan]:
    """Make what is missing at Stripe; again changes nothing. Raises `NotConfigured`, `StripeUnavailable`."""
    api = stripe_api()
    plans = list(Plan.objects.filter(offered=True, interval__in=SOLD_EVERY).order_by("rank"))
    prices = api.prices_by_plan([plan.code for plan in plans])
    found = []
    for plan in plans:
        price = prices.get(plan.code)
        cents, currency, interval = priced(plan)
        if price is not None and (price.cents, price.currency, price.interval) == (cents, currency, interval):
            found.append(SyncedPlan(plan.code, "as it was"))
            continue
        product = f"slipway-{plan.code}"
        api.ensure_product(product_id=product, name=f"{plan.name} ({plan.get_interval_display()})", metadata={"slipway_plan": plan.code})
        api.create_price(product_id=product, code=plan.code, cents=cents, currency=currency, interval=interval)
        if price is not None:
            api.archive_price(price.id)
        found.append(SyncedPlan(plan.code, "new price" if price else "made"))
    return found
