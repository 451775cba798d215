"""Which plan a workspace is on, and the credits that its periods bring."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from billing.funding import review_wallets, tell_change
from billing.grants import grant_credits
from billing.models import Grant, GrantSource, Plan, PlanInterval, Subscription, SubscriptionStatus, Unit, Wallet
from billing.models.ledger import FOR_EVER
from billing.periods import months_after, period_at, whole_minute
from billing.wallets import lock_wallets
from controlplane.common import clock
from controlplane.common.errors import SlipwayError

logger = logging.getLogger(__name__)

MONTHS = {PlanInterval.MONTH: 1, PlanInterval.YEAR: 12}


def live_subscription(wallet_id: UUID) -> Subscription | None:
    """Return the subscription that a wallet has now, with its plan; None for an organization that has not chosen one."""
    rows = Subscription.objects.filter(wallet=wallet_id).exclude(status=SubscriptionStatus.ENDED)
    return rows.select_related("plan").first()


def plan_of(wallet_id: UUID) -> Plan | None:
    """Return the plan that a wallet is on."""
    found = live_subscription(wallet_id)
    return found.plan if found else None


def begin_subscription(*, wallet: Wallet, plan: Plan, stripe_id: str | None = None) -> Subscription:
    """Put a wallet on a plan, in the place of the one that it has; without Stripe its first period begins now, with its credits.

    What was granted before stays valid. The present plan again changes nothing. A plan without Stripe that was there before has its periods on:
    who comes back gets no second credits for one.
    """
    with transaction.atomic():
        lock_wallets([wallet.pk])
        now = clock.now()
        present = live_subscription(wallet.pk)
        if present is not None and (present.plan_id, present.stripe_id) == (plan.pk, stripe_id):
            return present
        if present is not None:
            end_subscription(present)
        former = Subscription.objects.filter(wallet=wallet).exists()
        made = stripe_id is None and resumed(wallet, plan)
        made = made or Subscription.objects.create(wallet=wallet, plan=plan, anchor=whole_minute(now), stripe_id=stripe_id)
        if stripe_id is None:
            grant_period(made, now, came_back=True)
        if former:
            # What runs already may do more now, or less; and an unmetered plan pays without a grant.
            review_wallets([wallet.pk])
            tell_change(wallet.pk)
    return made


def resumed(wallet: Wallet, plan: Plan) -> Subscription | None:
    """Return the subscription without Stripe that a wallet had to this plan last, going on again; None if it had none."""
    before = Subscription.objects.filter(wallet=wallet, plan=plan, stripe_id=None).select_related("plan").order_by("-created_at").first()
    if before is not None:
        before.status, before.ended_at = SubscriptionStatus.ACTIVE, None
        before.save()
    return before


def end_subscription(subscription: Subscription) -> None:
    """End a subscription: no more credits come from it. Call it under the wallet's lock."""
    Subscription.objects.filter(pk=subscription.pk).update(status=SubscriptionStatus.ENDED, ended_at=clock.now(), updated_at=clock.now())
    tell_change(subscription.wallet_id)


def grant_period(subscription: Subscription, moment: datetime, *, came_back: bool = False) -> None:
    """Grant the credits of the period that a moment is in, once: of a subscription that Stripe does not know.

    They are valid from the period's start; who `came_back` in the middle of it has them from the moment on, for what was is not changed.
    """
    plan = subscription.plan
    if plan.interval == PlanInterval.ONCE:
        start, end = subscription.anchor, FOR_EVER
    else:
        start, end = period_at(subscription.anchor, MONTHS[PlanInterval(plan.interval)], moment)
    key = f"sub:{subscription.pk}:{int(start.timestamp())}"
    begins = max(start, whole_minute(moment)) if came_back else start
    grant_plan(wallet_id=subscription.wallet_id, plan=plan, key=key, start=start, begins=begins, anchor=subscription.anchor)
    Subscription.objects.filter(pk=subscription.pk).update(granted_until=end, current_period_end=end)


def grant_plan(
    *, wallet_id: UUID, plan: Plan, key: str, start: datetime, begins: datetime | None = None, anchor: datetime | None = None
) -> None:
    """Grant what a plan gives for one period that begins at `start`; again with the same key changes nothing, whatever the plan gives by now.

    Months of validity are counted from the day of the grant, or on from an anchor: then what is valid for a month ends where the next one begins,
    on 31 March for a grant of 28 February. With `begins`, later than the start, what is valid for one period ends with it, and all else is valid
    as long as ever. Call it under the wallet's lock.
    """
    if Grant.objects.filter(key__in=[key, f"{key}:hits"]).exists():
        return
    begins = begins or start
    first = anchor or start
    passed = (start.year - first.year) * 12 + start.month - first.month
    ends = months_after(first, passed + plan.validity_months) if plan.validity_months else FOR_EVER
    if begins > start and plan.validity_months and plan.validity_months != MONTHS.get(PlanInterval(plan.interval)):
        ends = months_after(begins, plan.validity_months)
    told: dict[str, Any] = {"source": GrantSource.PLAN, "starts_at": begins, "expires_at": ends, "plan_code": plan.code}
    if plan.credits:
        grant_credits(wallet_id=wallet_id, amount=plan.credits, key=key, reason=f"{plan.name}, period of {start:%Y-%m-%d}", **told)
    if plan.hits:
        grant_credits(wallet_id=wallet_id, amount=plan.hits, key=f"{key}:hits", unit=Unit.HIT, reason=f"{plan.name}, free runs", **told)


def follow_paid_subscription(*, wallet: Wallet, stripe_id: str, **facts: Any) -> SubscriptionStatus | None:
    """Write what a subscription is at Stripe (`facts` are fields of its row); another one that the wallet has ends. Returns the status before.

    Call it under the wallet's lock. None is returned for a subscription that was not known. Credits are granted for what was paid, elsewhere.
    """
    present = live_subscription(wallet.pk)
    if present is not None and present.stripe_id != stripe_id:
        end_subscription(present)
    known = Subscription.objects.filter(stripe_id=stripe_id).first()
    if known is None:
        Subscription.objects.create(wallet=wallet, stripe_id=stripe_id, **facts)
        tell_change(wallet.pk)
        return None
    if facts.get("plan", known.plan) != known.plan:
        tell_change(wallet.pk)
    before = SubscriptionStatus(known.status)
    for name, value in {**facts, "ended_at": None}.items():
        setattr(known, name, value)
    known.save()
    return before


def leave_paid_subscription(wallet: Wallet) -> None:
    """End what Stripe knows no more; the workspace is on the plan again that it would have without paying. Call it under the wallet's lock."""
    present = live_subscription(wallet.pk)
    if present is not None and present.stripe_id:
        end_subscription(present)
        return_to_unpaid_plan(wallet)


def return_to_unpaid_plan(wallet: Wallet) -> None:
    """Go on with the plan that new workspaces get."""
    code = settings.PERSONAL_PLAN if wallet.is_personal else settings.ORGANIZATION_PLAN
    plan = Plan.objects.filter(code=code).first()
    if plan is not None:
        begin_subscription(wallet=wallet, plan=plan)


def renew_due() -> int:
    """Begin the next period of every subscription without Stripe whose period is over; return how many."""
    now = clock.now()
    rows = Subscription.objects.filter(stripe_id=None, granted_until__lte=now).exclude(status=SubscriptionStatus.ENDED)
    found = list(rows.select_related("plan"))
    for one in found:
        try:
            with transaction.atomic():
                lock_wallets([one.wallet_id])
                if rows.filter(pk=one.pk).exists():
                    grant_period(one, now)
        except SlipwayError:
            # The others get what is theirs.
            logger.exception("the next period of subscription %s does not begin", one.pk)
    return len(found)
