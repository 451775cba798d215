"""The daily look at every customer: what a lost webhook left is found and repaired by the function that webhooks use."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from billing.models import Grant, StripeEvent, Subscription, Wallet
from billing.stripe.access import payments_configured
from billing.stripe.applying import sync_wallet
from billing.stripe.events import FORESEEN
from controlplane.common import clock

logger = logging.getLogger(__name__)

# Stripe takes 100 requests a second of an account; three or so a customer leave room for those of people.
PAUSE_SECONDS = 0.05
# A task that takes longer than the broker waits is handed out again: the rest is another task's.
MOST_SECONDS = 1200
KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a look found: wallets that were looked at, that were not what Stripe says, and that could not be asked about.

    `next_wallet` is where it goes on when its time was over; None at the end.
    """

    looked: int = 0
    repaired: int = 0
    failed: int = 0
    next_wallet: UUID | None = None


def reconcile(*, begin: UUID | None = None) -> Reconciled:
    """Make every wallet that has a customer, from one on, what Stripe says, and delete old events. Without keys nothing is done."""
    if not payments_configured():
        return Reconciled()
    StripeEvent.objects.filter(done_at__lt=clock.now() - KEPT).delete()
    rows = Wallet.objects.exclude(stripe_customer_id=None).order_by("pk").values_list("pk", flat=True)
    found, ends = Reconciled(), time.monotonic() + MOST_SECONDS
    for wallet_id in list(rows.filter(pk__gte=begin) if begin else rows):
        if time.monotonic() > ends:
            found = replace(found, next_wallet=wallet_id)
            break
        found = look_at(wallet_id, found)
        time.sleep(PAUSE_SECONDS)
    logger.info("stripe: looked at %s wallets, repaired %s, could not ask about %s", found.looked, found.repaired, found.failed)
    return found


def look_at(wallet_id: UUID, found: Reconciled) -> Reconciled:
    """Look at one wallet; one that fails does not hold up the others."""
    before = standing(wallet_id)
    try:
        sync_wallet(wallet_id)
    except FORESEEN as error:
        logger.warning("stripe: wallet %s could not be compared: %s", wallet_id, type(error).__name__)
        return replace(found, looked=found.looked + 1, failed=found.failed + 1)
    changed = standing(wallet_id) != before
    if changed:
        logger.warning("stripe: wallet %s was not what Stripe says, and is now: an event was lost or is late", wallet_id)
    return replace(found, looked=found.looked + 1, repaired=found.repaired + changed)


def standing(wallet_id: UUID) -> tuple[object, ...]:
    """Return what can differ from what Stripe says."""
    rows = Subscription.objects.filter(wallet=wallet_id).order_by("pk").values_list("stripe_id", "plan", "status", "current_period_end")
    return (*rows, Grant.objects.filter(wallet=wallet_id).count())
