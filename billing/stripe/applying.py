"""Making a wallet what Stripe says. What Stripe says now is the truth, whatever told us to look: no order of events matters.

The question is asked outside of any transaction; its answer is applied under the wallet's lock.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import connection, transaction

from billing.access import is_deleted
from billing.funding import write_notice
from billing.models import Grant, Invoice, NoticeKind, Plan, StripeSync, Subscription, SubscriptionStatus, Wallet
from billing.stripe.access import stripe_api
from billing.stripe.errors import UnknownAtStripe, WrongAccount
from billing.stripe.shapes import BilledPeriod, CustomerState, SoldInvoice, SoldSubscription
from billing.subscriptions import follow_paid_subscription, grant_plan, leave_paid_subscription, live_subscription
from billing.wallets import locked_wallet
from controlplane.audit.services import record

logger = logging.getLogger(__name__)

ASK = """
INSERT INTO billing_stripesync (wallet_id, asked) VALUES (%s, 1)
ON CONFLICT (wallet_id) DO UPDATE SET asked = billing_stripesync.asked + 1 RETURNING asked
"""


def sync_wallet(wallet_id: UUID) -> CustomerState | None:
    """Ask Stripe about a wallet's customer, and apply the answer; None when the wallet has no customer.

    Again changes nothing. Raises `NotConfigured`, `StripeUnavailable`, `WrongAccount`. Subscriptions that must not go on are cancelled at Stripe.
    """
    customer_id = Wallet.objects.values_list("stripe_customer_id", flat=True).get(pk=wallet_id)
    if not customer_id:
        return None
    api = stripe_api()
    ticket = take_ticket(wallet_id)
    try:
        state = api.customer_state(customer_id)
    except UnknownAtStripe as error:
        logger.error("stripe: customer %s of wallet %s is unknown: STRIPE_SECRET_KEY is of another account", customer_id, wallet_id)  # noqa: TRY400
        raise WrongAccount from error
    for surplus in apply_state(wallet_id=wallet_id, state=state, ticket=ticket):
        logger.warning("wallet %s: subscription %s must not go on and is cancelled", wallet_id, surplus.id)
        api.cancel_now(surplus.id)
    return state


def take_ticket(wallet_id: UUID) -> int:
    """Return the number of a question: an answer is discarded when that of a later question has been applied."""
    with connection.cursor() as cursor:
        cursor.execute(ASK, [wallet_id])
        return int(cursor.fetchone()[0])


def apply_state(*, wallet_id: UUID, state: CustomerState, ticket: int) -> list[SoldSubscription]:
    """Apply an answer; return the subscriptions that must not go on.

    Credits come from each paid invoice, however old the answer is. Which plan the wallet is on follows the newest answer.
    """
    with transaction.atomic():
        wallet = locked_wallet(wallet_id)
        if wallet.stripe_customer_id != state.customer_id:
            return []
        keep_invoices(wallet, state.invoices)
        grant_paid_periods(wallet, state.invoices)
        if not StripeSync.objects.filter(wallet=wallet, applied__lt=ticket).update(applied=ticket):
            return []
        before = live_subscription(wallet.pk)
        surplus = follow(wallet, state)
        if not state.exists:
            Wallet.objects.filter(pk=wallet.pk).update(stripe_customer_id=None)
        note_change(wallet, before, live_subscription(wallet.pk))
    return surplus


def note_change(wallet: Wallet, before: Subscription | None, after: Subscription | None) -> None:
    """Write into the workspace's audit log that its plan or the standing of its subscription is another one, whoever has made it so."""
    was, is_now = ([one.plan.code, one.status] if one is not None else None for one in (before, after))
    if was != is_now:
        told = {"before": was, "after": is_now}
        name = str(wallet.workspace_id)
        record(
            actor=None,
            action="subscription.follow",
            kind="subscription",
            target=wallet.pk,
            name=name,
            chain=wallet.workspace_id,
            details=told,
        )


def keep_invoices(wallet: Wallet, invoices: tuple[SoldInvoice, ...]) -> None:
    """Write what is shown of invoices, as far as it is not what is there."""
    known = {row.stripe_id: row for row in Invoice.objects.filter(stripe_id__in=[one.id for one in invoices])}
    for one in invoices:
        facts = {
            "number": one.number,
            "status": one.status,
            "amount": one.amount,
            "currency": one.currency,
            "issued_at": one.issued_at,
            "paid_at": one.paid_at,
            "lines": [dict(line) for line in one.lines],
            "hosted_url": one.hosted_url,
            "pdf_url": one.pdf_url,
        }
        row = known.get(one.id)
        if row is None or any(getattr(row, name) != value for name, value in facts.items()):
            Invoice.objects.update_or_create(stripe_id=one.id, defaults=facts, create_defaults={"wallet": wallet, **facts})


def grant_paid_periods(wallet: Wallet, invoices: tuple[SoldInvoice, ...]) -> None:
    """Grant the credits of every period that was paid, once. What a plan gave at the time stays, also when operators have changed it since."""
    paid = {period.key: period for one in invoices if one.is_paid for period in one.periods}
    granted = set(Grant.objects.filter(key__in=paid).values_list("key", flat=True))
    plans = Plan.objects.in_bulk({period.plan_code for period in paid.values() if period.plan_code}, field_name="code")
    for key, period in sorted(paid.items(), key=lambda item: item[1].start):
        if key in granted:
            continue
        plan = plans.get(period.plan_code or "")
        if plan is None:
            tell_unknown(wallet, period)
        else:
            grant_plan(wallet_id=wallet.pk, plan=plan, key=key, start=period.start)


def tell_unknown(wallet: Wallet, period: BilledPeriod) -> None:
    """Say that something was paid that no plan is of: an operator names the plan in the price's metadata, and the next look grants it."""
    logger.error("wallet %s paid price %s (plan %r), which is no plan here: no credits", wallet.pk, period.price_id, period.plan_code)


def follow(wallet: Wallet, state: CustomerState) -> list[SoldSubscription]:
    """Put the wallet on the newest subscription that goes on, or off all of them; return the others that go on.

    Whose organization was deleted while a pay page was open pays no second time: then all are returned.
    """
    live = state.live()
    plans = Plan.objects.in_bulk({one.plan_code for one in live if one.plan_code}, field_name="code")
    known = [one for one in live if one.plan_code in plans]
    if not known:
        if not is_kept(wallet, state):
            leave_paid_subscription(wallet)
        return []
    newest = known[-1]
    if not newest.leaving and is_deleted(wallet):
        logger.error("wallet %s: its workspace is deleted, and subscription %s was paid for it: give the money back", wallet.pk, newest.id)
        leave_paid_subscription(wallet)
        return known
    before = follow_paid_subscription(
        wallet=wallet,
        stripe_id=newest.id,
        plan=plans[str(newest.plan_code)],
        status=status_of(newest),
        anchor=newest.anchor,
        current_period_end=newest.period_end,
        granted_until=state.paid_until(newest.id),
    )
    if newest.is_behind and before != SubscriptionStatus.PAST_DUE:
        tell_behind(wallet, newest, state.invoices)
    for surplus in known[:-1]:
        tell_surplus(wallet, surplus, newest)
    return known[:-1]


def is_kept(wallet: Wallet, state: CustomerState) -> bool:
    """Tell whether the wallet's subscription goes on at Stripe though its plan is known no more: whoever pays loses nothing by that."""
    present = live_subscription(wallet.pk)
    going_on = {one.id for one in state.subscriptions if one.is_live}
    if present is None or present.stripe_id not in going_on:
        return False
    logger.error(
        "wallet %s: subscription %s is to a price that is no plan here; the plan stays %s", wallet.pk, present.stripe_id, present.plan_id
    )
    return True


def status_of(sold: SoldSubscription) -> SubscriptionStatus:
    """Return how a subscription that goes on is shown."""
    if sold.is_behind:
        return SubscriptionStatus.PAST_DUE
    return SubscriptionStatus.CANCELLING if sold.leaving else SubscriptionStatus.ACTIVE


def tell_behind(wallet: Wallet, sold: SoldSubscription, invoices: tuple[SoldInvoice, ...]) -> None:
    """Tell once for each invoice that it was not paid."""
    due = next((one for one in invoices if one.subscription_id == sold.id and one.status == "open"), None)
    write_notice(
        wallet,
        NoticeKind.PAYMENT_FAILED,
        "A payment has failed",
        "The payment of your subscription was refused: it brings no credits until it is paid. Open the billing portal, change the "
        "payment method, and pay the open invoice.",
        key=f"payment-failed:{due.id if due else sold.id}",
    )


def tell_surplus(wallet: Wallet, surplus: SoldSubscription, newest: SoldSubscription) -> None:
    """Tell once that a second subscription was ended."""
    write_notice(
        wallet,
        NoticeKind.DOUBLE_PAID,
        "Two subscriptions were paid",
        f"This workspace had two subscriptions. The one to {newest.plan_code} goes on, the older one to {surplus.plan_code} was ended. "
        "The credits of both were added. If you paid twice by mistake, ask the operator.",
        key=f"double-paid:{surplus.id}",
    )


def present_subscription(wallet_id: UUID) -> Subscription | None:
    """Return the wallet's subscription if Stripe knows it."""
    found = live_subscription(wallet_id)
    return found if found is not None and found.stripe_id else None
