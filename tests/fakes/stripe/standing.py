"""What a subscription's status becomes: paid for, behind, ended."""

from __future__ import annotations

from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.events import emit

LIVE = ("active", "past_due", "incomplete")


def settle(account: Account, subscription: Json, *, paid: bool) -> None:
    """Follow an attempt to collect the newest invoice."""
    before = subscription["status"]
    if before not in LIVE:
        return
    after = "active" if paid else ("incomplete" if before == "incomplete" else "past_due")
    if before != after:
        subscription["status"] = after
        emit(account, "customer.subscription.updated", subscription, status=before)


def end(account: Account, subscription: Json, *, reason: str = "cancellation_requested") -> None:
    """End a subscription now; what of its invoices is open stays open, and is collected no more."""
    subscription |= {"status": "canceled", "ended_at": account.now, "canceled_at": subscription["canceled_at"] or account.now}
    subscription["cancellation_details"]["reason"] = reason
    for invoice in account.all("invoice"):
        if invoice["parent"]["subscription_details"]["subscription"] == subscription["id"] and invoice["status"] in ("open", "draft"):
            invoice["auto_advance"] = False
    emit(account, "customer.subscription.deleted", subscription)


def expire_incomplete(account: Account, subscription: Json) -> None:
    """End what was never paid for."""
    if subscription["status"] == "incomplete":
        subscription |= {"status": "incomplete_expired", "ended_at": account.now, "canceled_at": account.now}
        emit(account, "customer.subscription.updated", subscription, status="incomplete")
