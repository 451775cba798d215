"""Events of webhooks: each is stored once, answered at once, and acted on afterwards.

What an event says is not believed: it only names the customer to ask Stripe about. So the order of events does not matter, and neither do late
and doubled ones; a lost one is made up for by the next, or by the daily look at everything (reconcile.py).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import timedelta

from django.db import transaction

from billing.models import StripeEvent, Wallet
from billing.stripe.access import verified
from billing.stripe.applying import sync_wallet
from billing.stripe.errors import RefusedByStripe, StripeUnavailable, UnknownAtStripe
from controlplane.common import clock
from controlplane.common.errors import SlipwayError
from controlplane.common.hints import send_task

logger = logging.getLogger(__name__)

# Only these can change what a wallet has.
HEEDED = ("customer.subscription.", "customer.deleted", "invoice.", "checkout.session.completed", "checkout.session.async_payment_")
# Whoever works on events has them for so long; one that dies lets go by itself.
LEASE = timedelta(minutes=3)
BATCH = 100
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=6)
FORESEEN = (SlipwayError, UnknownAtStripe, RefusedByStripe)


def receive_event(*, body: bytes, signature: str) -> bool:
    """Store an event whose signature is right, and have a worker act on it; False for one that is known or that changes nothing here.

    Raises `NotConfigured` and `WrongSignature`; then nothing is stored.
    """
    told = verified(body, signature)
    if not told.customer or not told.type.startswith(HEEDED):
        return False
    with transaction.atomic():
        now = clock.now()
        _, made = StripeEvent.objects.get_or_create(
            id=told.id,
            defaults={"type": told.type[:80], "customer": told.customer, "occurred_at": told.occurred_at, "next_try_at": now},
        )
        if made:
            transaction.on_commit(act_soon, robust=True)
    return made


def act_soon() -> None:
    """Ask a worker to act. A hint: beat looks each minute anyway."""
    send_task("billing.stripe.act_on_events", expires=60, retry=False)


def act_on_events() -> int:
    """Act on what is due, one customer after the other; return how many events are done. One that fails is tried again, later each time.

    While Stripe is away nothing more is asked: all of it is tried again later.
    """
    by_customer: dict[str, list[str]] = defaultdict(list)
    for event in claim_events():
        by_customer[event.customer].append(event.pk)
    done = 0
    for customer, ids in by_customer.items():
        try:
            done += act_on_customer(customer, ids)
        except StripeUnavailable as error:
            # The others would wait for the same silence.
            put_off([pk for some in by_customer.values() for pk in some], error.code)
            break
    return done


def claim_events() -> list[StripeEvent]:
    """Take the events that are due and that nobody else has."""
    now = clock.now()
    with transaction.atomic():
        rows = StripeEvent.objects.select_for_update(skip_locked=True, no_key=True).filter(done_at=None, next_try_at__lte=now)
        found = list(rows.order_by("next_try_at")[:BATCH])
        StripeEvent.objects.filter(pk__in=[event.pk for event in found]).update(next_try_at=now + LEASE)
    return found


def act_on_customer(customer: str, ids: list[str]) -> int:
    """Make the customer's wallet what Stripe says; return how many events are done: these, and those that wait for another try.

    A customer whom no wallet has is another installation's on the same account, or one from before: nothing to do. Raises `StripeUnavailable`.
    """
    # What was told before the look is in it.
    waiting = list(StripeEvent.objects.filter(customer=customer, done_at=None).values_list("pk", flat=True))
    wallet_id = Wallet.objects.filter(stripe_customer_id=customer).values_list("pk", flat=True).first()
    try:
        if wallet_id is not None:
            sync_wallet(wallet_id)
    except StripeUnavailable:
        raise
    except FORESEEN as error:
        logger.warning("stripe events of %s wait: %s", customer, type(error).__name__)
        put_off(ids, f"{type(error).__name__}: {error}")
        return 0
    except Exception as error:
        logger.exception("stripe events of %s failed", customer)
        put_off(ids, f"{type(error).__name__}: {error}")
        return 0
    told = "" if wallet_id is not None else "No wallet has this customer."
    return StripeEvent.objects.filter(pk__in=waiting, done_at=None).update(done_at=clock.now(), next_try_at=None, error=told)


def put_off(ids: list[str], error: str) -> None:
    """Try events again later: each pause is twice the one before."""
    now = clock.now()
    for event in StripeEvent.objects.filter(pk__in=ids, done_at=None):
        event.attempts += 1
        event.next_try_at = now + min(FIRST_PAUSE * 2 ** min(event.attempts - 1, 20), LONGEST_PAUSE)
        event.error = error[:1000]
        event.save(update_fields=["attempts", "next_try_at", "error"])


def make_due() -> int:
    """Let all that waits for another try be tried now; return how many. What somebody has in hand is tried twice, which changes nothing."""
    return StripeEvent.objects.filter(done_at=None).update(next_try_at=clock.now())
