"""Buying a subscription: pay pages and the portal, both Stripe's. No card number ever comes here."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction

from billing.models import Plan, Wallet
from billing.stripe.access import stripe_api
from billing.stripe.applying import sync_wallet
from billing.stripe.errors import (
    AlreadySubscribed,
    NoSubscription,
    NotOffered,
    NotPriced,
    RefusedByStripe,
    StripeUnavailable,
    UnknownAtStripe,
)
from billing.stripe.shapes import SoldPrice
from billing.stripe.workspaces import ensure_customer, metadata_of, wallet_to_pay
from controlplane.accounts.models import User
from controlplane.common.errors import InvalidInput
from controlplane.workspaces.trail import note

AFTER = "/settings/"


def start_checkout(*, actor: User, namespace_id: UUID, plan_code: str, success_url: str = "", cancel_url: str = "") -> str:
    """Return the address of a pay page for a plan. Credits come when it is paid.

    The pages that were open before are closed, so that nobody pays twice. Raises `NotOffered`, `AlreadySubscribed`, `NotPriced` and, as all
    here, `NotConfigured` and `StripeUnavailable`.
    """
    root, wallet = wallet_to_pay(actor, namespace_id)
    urls = (own_url("success_url", success_url), own_url("cancel_url", cancel_url))
    plan = offered_plan(wallet, plan_code)
    price = price_of(plan)
    ensure_customer(root, wallet, actor)
    state = sync_wallet(wallet.pk)
    if state is not None and state.live():
        raise AlreadySubscribed(str(state.live()[-1].plan_code))
    # A customer who was deleted at Stripe is forgotten by now, and made anew.
    customer_id = ensure_customer(root, Wallet.objects.get(pk=wallet.pk), actor)
    api = stripe_api()
    try:
        api.close_checkouts(customer_id)
        url = api.create_checkout(customer_id=customer_id, price_id=price.id, urls=urls, metadata=metadata_of(wallet))
    except (RefusedByStripe, UnknownAtStripe) as error:
        raise StripeUnavailable from error
    with transaction.atomic():
        note(actor, "billing.checkout", root, workspace=wallet.workspace_id, plan=plan.code)
    return url


def open_portal(*, actor: User, namespace_id: UUID, return_url: str = "") -> str:
    """Return the address of the workspace's portal: invoices, payment methods, cancelling. Raises `NoSubscription` before the first checkout."""
    _, wallet = wallet_to_pay(actor, namespace_id)
    back = own_url("return_url", return_url)
    if not wallet.stripe_customer_id:
        raise NoSubscription
    try:
        return stripe_api().portal_url(customer_id=wallet.stripe_customer_id, return_url=back, installation=settings.INSTALLATION_ID)
    except UnknownAtStripe as error:
        sync_wallet(wallet.pk)
        raise NoSubscription from error
    except RefusedByStripe as error:
        raise StripeUnavailable from error


def own_url(field: str, given: str) -> str:
    """Return an address of this service to come back to: a pay page must not lead people elsewhere in our name. Raises `InvalidInput`."""
    if not given:
        return str(settings.PUBLIC_URL) + AFTER
    # Browsers take a backslash for a slash, and pass over control characters: neither is in an address of ours.
    strange = "\\" in given or any(character <= " " for character in given)
    if strange or origin_of(given) != origin_of(settings.PUBLIC_URL):
        detail = f"Begin it with {settings.PUBLIC_URL}/."
        raise InvalidInput("foreign_address", f"'{field}' is not an address of this service. {detail}", fields={field: [detail]})
    return given


def origin_of(address: str) -> tuple[str, str] | None:
    """Return scheme and host of an address, None for one that cannot be read."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return parts.scheme, parts.netloc


def offered_plan(wallet: Wallet, code: str) -> Plan:
    """Return a plan that this kind of workspace can buy. Raises `NotOffered`, which names those."""
    rows = Plan.objects.filter(offered=True, **({"personal": True} if wallet.is_personal else {"organizations": True}))
    found = rows.filter(code=code).first()
    if found is None:
        raise NotOffered(code[:40], list(rows.order_by("rank").values_list("code", flat=True)))
    return found


def price_of(plan: Plan) -> SoldPrice:
    """Return what a plan is sold for. Raises `NotPriced`, also when Stripe's price is not the plan's: nobody pays what was not told."""
    price = stripe_api().prices_by_plan([plan.code]).get(plan.code)
    if price is None or (price.cents, price.currency, price.interval) != priced(plan):
        raise NotPriced(plan.code)
    return price


def priced(plan: Plan) -> tuple[int, str, str]:
    """Return amount, currency and interval of a plan, as Stripe writes them."""
    return plan.price_cents, plan.currency.lower(), plan.interval.lower()
