"""What we need to know of Stripe's objects. Times are aware, in UTC; amounts are in hundredths of the currency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

# Statuses of a subscription that goes on. The first invoice of an "incomplete" one was never paid: it has not begun.
LIVE = frozenset({"active", "trialing", "past_due", "unpaid", "paused"})
BEHIND = frozenset({"past_due", "unpaid", "paused"})


@dataclass(frozen=True, slots=True)
class SoldSubscription:
    """A subscription: one price, and the present period. `leaving`: it ends with the period; by `leaving_flag`, or by a moment that was set.

    `plan_code` is None for a price that names no plan.
    """

    id: str
    status: str
    item_id: str
    price_id: str
    plan_code: str | None
    anchor: datetime
    period_start: datetime
    period_end: datetime
    leaving: bool
    leaving_flag: bool
    latest_invoice: str
    created: datetime

    @property
    def is_live(self) -> bool:
        """Tell whether it goes on."""
        return self.status in LIVE

    @property
    def is_behind(self) -> bool:
        """Tell whether a payment is missing."""
        return self.status in BEHIND


@dataclass(frozen=True, slots=True)
class BilledPeriod:
    """A line of an invoice: a whole period of a price. `change`: it began with a change of plan, not with the turn of a period."""

    invoice_id: str
    subscription_id: str
    price_id: str
    plan_code: str | None
    start: datetime
    end: datetime
    change: bool

    @property
    def key(self) -> str:
        """Return what its credits are granted by, once. That of a change has the invoice in it: several may come within a second."""
        turn = f"sub:{self.subscription_id}:{int(self.start.timestamp())}"
        return f"{turn}:{self.invoice_id}" if self.change else turn


@dataclass(frozen=True, slots=True)
class SoldInvoice:
    """An invoice. `lines` are as they are shown: description, amount, start and end."""

    id: str
    number: str
    status: str
    amount: int
    currency: str
    issued_at: datetime
    paid_at: datetime | None
    hosted_url: str
    pdf_url: str
    subscription_id: str
    lines: tuple[Mapping[str, Any], ...]
    periods: tuple[BilledPeriod, ...]

    @property
    def is_paid(self) -> bool:
        """Tell whether it is paid, be it that nothing was due."""
        return self.status == "paid"


@dataclass(frozen=True, slots=True)
class CustomerState:
    """All that Stripe knows of a customer now. `exists` is False for one that was deleted there."""

    customer_id: str
    exists: bool
    subscriptions: tuple[SoldSubscription, ...] = ()
    invoices: tuple[SoldInvoice, ...] = ()

    def paid_until(self, subscription_id: str) -> datetime | None:
        """Return the end of the last period of a subscription that was paid."""
        paid = [period.end for one in self.invoices if one.is_paid for period in one.periods if period.subscription_id == subscription_id]
        return max(paid, default=None)

    def live(self) -> list[SoldSubscription]:
        """Return the subscriptions that go on and are to a plan, the newest last."""
        found = [one for one in self.subscriptions if one.is_live and one.plan_code]
        return sorted(found, key=lambda one: (one.created, one.id))


@dataclass(frozen=True, slots=True)
class SoldPrice:
    """A price of Stripe's: `cents` of `currency` (lower case) every `interval`, for the plan that it names."""

    id: str
    product_id: str
    plan_code: str
    cents: int
    currency: str
    interval: str
    active: bool = True


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """An event of a webhook whose signature is right. `customer` is "" for one that is about none."""

    id: str
    type: str
    customer: str
    occurred_at: datetime
    about: str = field(default="")
