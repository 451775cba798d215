"""What people see of a wallet: how it stands, its grants, and the entries that are no charges."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F, Prefetch, Q, QuerySet

from billing.balances import Standing, balance_at, standing_of
from billing.forecast import burn_of, lasts_until, pockets_of
from billing.funding import unmetered
from billing.models import EntryKind, Funding, Grant, LedgerEntry, PlanInterval, Posting, Subscription, SubscriptionStatus, Unit, Wallet
from billing.models.ledger import FOR_EVER
from billing.pricing import credits_text
from billing.subscriptions import live_subscription
from controlplane.common import clock


def summary_of(wallet: Wallet) -> dict[str, Any]:
    """Return how a wallet stands: plan, balance, funding, what burns, and how long it lasts."""
    standing, free = standing_of(wallet.pk), bool(unmetered([wallet.pk]))
    burn, pockets, now = burn_of(wallet.pk), pockets_of(wallet.pk), clock.now()
    return {
        "workspace": wallet.workspace_id,
        "plan": plan_shown(live_subscription(wallet.pk)),
        "unmetered": free,
        "balance": standing.balance,
        "held": standing.held,
        "available": standing.available,
        "hits": standing.hits,
        "in_credits": credits_shown(standing),
        "funding": funding_shown(wallet, free=free),
        "burn": {
            "instances": burn.instances,
            "micro_credits_an_hour": burn.micro_credits_an_hour,
            "credits_an_hour": credits_text(burn.micro_credits_an_hour),
            "lasts_until": None if free else lasts_until(pockets, burn, since=now),
            "available_until": None if free else lasts_until(pockets, burn, since=now, reserve=standing.held),
        },
        "payments": payments_shown(),
    }


def plan_shown(subscription: Subscription | None) -> dict[str, Any] | None:
    """Return the plan that a workspace is on, and when it brings credits again."""
    if subscription is None:
        return None
    plan = subscription.plan
    ends = subscription.current_period_end
    again = plan.interval != PlanInterval.ONCE and subscription.status == SubscriptionStatus.ACTIVE and bool(plan.credits)
    return {
        "code": plan.code,
        "name": plan.name,
        "status": subscription.status,
        "next_credits_at": ends if again and ends and ends < FOR_EVER else None,
        "next_credits": plan.credits if again else 0,
        "ends_at": ends if subscription.status == SubscriptionStatus.CANCELLING else None,
    }


def credits_shown(standing: Standing) -> dict[str, str]:
    """Return the sums of a standing as people read them."""
    return {name: credits_text(getattr(standing, name)) for name in ("balance", "held", "available")}


def funding_shown(wallet: Wallet, *, free: bool) -> dict[str, Any]:
    """Return how a workspace can pay, and what comes next."""
    return {
        "status": wallet.funding,
        "since": wallet.funding_since or wallet.created_at,
        "grace_until": wallet.grace_until,
        "next": next_of_funding(wallet, free=free),
    }


def next_of_funding(wallet: Wallet, *, free: bool) -> str:
    """Return in a sentence what happens if nobody does anything, and what to do about it."""
    if free:
        return "What is used is written down; nothing is stopped."
    deleted = settings.CREDIT_EXHAUSTION == "delete"
    if wallet.funding == Funding.GRACE and wallet.grace_until:
        then = "are deleted with their endpoints" if deleted else "end; their endpoints keep their URLs"
        return f"Serverless endpoints answer 402. At {wallet.grace_until:%H:%M:%S} UTC instances {then}. Add credits before that."
    if wallet.funding == Funding.EXHAUSTED:
        return "Endpoints answer 402 and no instance runs. Add credits, then resume what you need."
    return "Everything runs. When the credits run out, serverless endpoints answer 402 at once and instances end 15 minutes later."


def payments_shown() -> dict[str, Any]:
    """Return whether plans can be paid here."""
    if getattr(settings, "STRIPE_SECRET_KEY", ""):
        return {"configured": True, "detail": "Plans are paid by card; invoices are in the billing portal."}
    return {"configured": False, "detail": "This installation takes no payments. Ask its operator for a plan or for credits."}


def balance_shown(wallet: Wallet, moment: datetime) -> dict[str, Any]:
    """Return the balance at any moment: of the past as it was, of the future as it will be if nothing more is spent."""
    balance = balance_at(wallet.pk, moment)
    hits = balance_at(wallet.pk, moment, unit=Unit.HIT)
    return {"at": moment, "balance": balance, "credits": credits_text(balance), "hits": hits, "future": moment > clock.now()}


def grants_of(wallet_id: UUID, *, valid: bool | None = None) -> QuerySet[Grant]:
    """Return the grants of a wallet, newest first: all, those that can be spent now, or the others."""
    rows = Grant.objects.filter(wallet=wallet_id).order_by("-id")
    now = clock.now()
    usable = Q(starts_at__lte=now, expires_at__gt=now, spent__lt=F("amount"))
    return rows if valid is None else rows.filter(usable if valid else ~usable)


def grant_shown(grant: Grant) -> dict[str, Any]:
    """Return a grant: its sums are micro-credits, or free runs."""
    now, hits = clock.now(), grant.unit == Unit.HIT
    left = grant.amount - grant.spent
    texts = {"amount": grant.amount, "spent": grant.spent, "left": left}
    return {
        "id": grant.pk,
        "unit": "hits" if hits else "micro-credits",
        **texts,
        "in_credits": None if hits else {name: credits_text(value) for name, value in texts.items()},
        "starts_at": grant.starts_at,
        "expires_at": None if grant.expires_at == FOR_EVER else grant.expires_at,
        "valid": left > 0 and grant.starts_at <= now < grant.expires_at,
        "source": grant.source,
        "plan": grant.plan_code,
        "reason": grant.reason,
        "created_at": grant.created_at,
    }


def other_entries(wallet_id: UUID) -> QuerySet[LedgerEntry]:
    """Return what happened to a wallet beside charges, newest first: grants, corrections, and what was taken back."""
    postings = Prefetch("postings", queryset=Posting.objects.select_related("grant"))
    rows = LedgerEntry.objects.filter(wallet=wallet_id).exclude(kind=EntryKind.CHARGE)
    return rows.prefetch_related(postings).order_by("-booked_at", "-id")


def entry_shown(entry: LedgerEntry) -> dict[str, Any]:
    """Return an entry that is no charge: what came in, or went, of which grant."""
    posting = entry.postings.all()[0]
    amount = -entry.amount if entry.kind == EntryKind.TAKE_BACK else entry.amount
    hits = posting.unit == Unit.HIT
    return {
        "entry": entry.pk,
        "kind": "CORRECTION" if entry.reverses_id else entry.kind,
        "booked_at": entry.booked_at,
        "micro_credits": 0 if hits else amount,
        "credits": credits_text(0 if hits else amount),
        "hits": amount if hits else 0,
        "grant": posting.grant_id,
        "corrects": entry.reverses_id,
        "reason": entry.reason,
        "created_at": entry.created_at,
    }
