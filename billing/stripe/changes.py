"""Changing a subscription that is paid at Stripe: another plan, its end, and staying."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db import transaction
from django.db.models import F

from billing.models import Plan, StripeSync, Subscription, Wallet
from billing.stripe.access import stripe_api
from billing.stripe.applying import present_subscription, sync_wallet
from billing.stripe.buying import offered_plan, price_of
from billing.stripe.errors import CardRefused, NoSubscription, PaymentDue, RefusedByStripe, StripeUnavailable, UnknownAtStripe
from billing.stripe.shapes import SoldSubscription
from billing.stripe.workspaces import wallet_to_pay
from controlplane.accounts.models import User
from controlplane.common.errors import Conflict
from controlplane.workspaces.models import Namespace
from controlplane.workspaces.trail import note


def change_plan(*, actor: User, namespace_id: UUID, plan_code: str) -> Subscription:
    """Put a workspace on another plan: paid in full and credited now, its period begins now. Credits of the old plan stay valid.

    Nothing is given back for the old plan, and nothing more comes from it. On the plan already, nothing happens but that it goes on. Raises
    `NoSubscription`, `PaymentDue`, `CardRefused` (then nothing has changed), `NotOffered`, `NotPriced`.
    """
    root, wallet = wallet_to_pay(actor, namespace_id)
    plan = offered_plan(wallet, plan_code)
    present = present_at_stripe(wallet)
    if present.is_behind:
        raise PaymentDue
    if present.plan_code == plan.code:
        return stay_on(root, wallet, actor, present)
    price = price_of(plan)
    attempt(wallet, present, price.id)
    return finished(root, wallet, actor, "billing.change_plan", plan)


def attempt(wallet: Wallet, present: SoldSubscription, price_id: str) -> None:
    """Change the price at Stripe. The same change after the same invoice is one request, however often it is sent: nobody pays twice.

    After a refusal that Stripe would tell again for a day the next attempt has another key.
    """
    declines = StripeSync.objects.filter(wallet=wallet).values_list("declines", flat=True).first() or 0
    words = (present.id, present.latest_invoice, price_id, "leaving" if present.leaving else "staying", declines)
    try:
        stripe_api().change_price(present, price_id=price_id, key=":".join(map(str, ("change", *words))))
    except (CardRefused, StripeUnavailable) as error:
        if isinstance(error, CardRefused) or error.answered:
            StripeSync.objects.filter(wallet=wallet, declines=declines).update(declines=F("declines") + 1)
        raise
    except (UnknownAtStripe, RefusedByStripe) as error:
        sync_wallet(wallet.pk)
        raise Conflict(
            "change_refused",
            "Stripe refused the change and nothing has changed. See in the billing portal that there is a payment method, and try again.",
        ) from error


def cancel_subscription(*, actor: User, namespace_id: UUID) -> Subscription:
    """Let the subscription end with its period; credits stay valid. Raises `NoSubscription`."""
    root, wallet = wallet_to_pay(actor, namespace_id)
    present = present_at_stripe(wallet)
    if present.leaving:
        return followed(wallet)
    carried_out(wallet, lambda: stripe_api().leave(present))
    return finished(root, wallet, actor, "billing.cancel", None)


def reactivate_subscription(*, actor: User, namespace_id: UUID) -> Subscription:
    """Let a subscription that was to end go on. Raises `NoSubscription` when it has ended: it takes a new checkout."""
    root, wallet = wallet_to_pay(actor, namespace_id)
    return stay_on(root, wallet, actor, present_at_stripe(wallet))


def stay_on(root: Namespace, wallet: Wallet, actor: User, present: SoldSubscription) -> Subscription:
    """Let a subscription go on, if it was to end."""
    if present.leaving:
        carried_out(wallet, lambda: stripe_api().stay(present))
        return finished(root, wallet, actor, "billing.reactivate", None)
    return followed(wallet)


def carried_out(wallet: Wallet, change: Callable[[], None]) -> None:
    """Do a change that Stripe refuses only when the subscription has ended meanwhile. Raises `NoSubscription` then."""
    try:
        change()
    except (UnknownAtStripe, RefusedByStripe) as error:
        sync_wallet(wallet.pk)
        raise NoSubscription from error


def present_at_stripe(wallet: Wallet) -> SoldSubscription:
    """Return the subscription as Stripe has it now, and apply that on the way. Raises `NoSubscription`."""
    state = sync_wallet(wallet.pk)
    live = state.live() if state is not None else []
    if not live:
        raise NoSubscription
    return live[-1]


def finished(root: Namespace, wallet: Wallet, actor: User, action: str, plan: Plan | None) -> Subscription:
    """Apply what the change has made at Stripe, and note who made it. Raises `NoSubscription` when it has ended meanwhile.

    When Stripe is away just now, the events of the change, or the daily look, do the same later.
    """
    sync_wallet(wallet.pk)
    with transaction.atomic():
        note(actor, action, root, workspace=wallet.workspace_id, **({"plan": plan.code} if plan else {}))
    return followed(wallet)


def followed(wallet: Wallet) -> Subscription:
    """Return the wallet's subscription as it is known here. Raises `NoSubscription` when it has ended meanwhile."""
    found = present_subscription(wallet.pk)
    if found is None:
        raise NoSubscription
    return found
