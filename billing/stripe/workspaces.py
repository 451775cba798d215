"""Whose payments they are: the workspace that a namespace belongs to, and its customer at Stripe."""

from __future__ import annotations

import hashlib
from uuid import UUID

from django.conf import settings

from billing.models import Wallet
from billing.stripe.access import stripe_api
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.workspaces.models import Namespace
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.services import visible_namespace

INSTALLATION_KEY, WALLET_KEY = "slipway_installation", "slipway_wallet"


def paying_workspace(actor: User, namespace_id: UUID, permission: Permission) -> Namespace:
    """Return the root namespace of a workspace that the actor may see or change the payments of. Raises `NotFound`, `PermissionDenied`.

    Asked on the root: a role on a part of a workspace says nothing about its money.
    """
    root = visible_namespace(actor, namespace_id).lineage()[0]
    require(actor, permission, root)
    return root


def wallet_to_pay(actor: User, namespace_id: UUID) -> tuple[Namespace, Wallet]:
    """Return a workspace whose plan the actor may change, and its wallet. Raises `NotConfigured` too, after what the caller may know."""
    root = paying_workspace(actor, namespace_id, Permission.BILLING_MANAGE)
    stripe_api()
    return root, wallet_of(root)


def metadata_of(wallet: Wallet) -> dict[str, str]:
    """Return what customers and subscriptions carry: whose they are, for people who look at them at Stripe."""
    return {INSTALLATION_KEY: settings.INSTALLATION_ID, WALLET_KEY: str(wallet.pk)}


def ensure_customer(root: Namespace, wallet: Wallet, actor: User) -> str:
    """Return the wallet's customer at Stripe, made at the first call. Two calls at once make one: their requests have one key."""
    known = Wallet.objects.values_list("stripe_customer_id", flat=True).get(pk=wallet.pk)
    if known:
        return known
    email, metadata = actor.email, metadata_of(wallet)
    # What was asked for is in the key: the same key with another address would be refused. So is how often Stripe was asked about a customer
    # before: one that was deleted there must not be told again.
    asked = wallet.stripe_sync.asked if hasattr(wallet, "stripe_sync") else 0
    words = "\n".join([settings.INSTALLATION_ID, str(wallet.pk), root.path, email, str(asked)])
    made = stripe_api().create_customer(
        name=root.path, email=email, metadata=metadata, key=f"customer:{hashlib.sha256(words.encode()).hexdigest()}"
    )
    # A second customer, made by somebody else of the workspace at this moment, was never given to anybody.
    Wallet.objects.filter(pk=wallet.pk, stripe_customer_id=None).update(stripe_customer_id=made)
    return str(Wallet.objects.values_list("stripe_customer_id", flat=True).get(pk=wallet.pk))
