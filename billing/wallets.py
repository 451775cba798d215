"""Wallets: opened when they are first asked for, and locked by whoever changes what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from billing.models import Wallet
from billing.plans import plan_by_code
from controlplane.common.arrays import array_text
from controlplane.workspaces.models import Namespace

LOCK = "SELECT id FROM billing_wallet WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE"


def wallet_of(namespace: Namespace) -> Wallet:
    """Return the wallet of the workspace that a namespace belongs to; the first call opens it, with the plan that new workspaces get."""
    return open_wallet(namespace.workspace_id, is_personal=namespace.is_personal)


def open_wallet(workspace_id: UUID, *, is_personal: bool) -> Wallet:
    """Return the wallet of a workspace (the id of a user or of an organization), and open it if there is none."""
    found = Wallet.objects.filter(workspace_id=workspace_id).first()
    if found is not None:
        return found
    from billing.subscriptions import begin_subscription

    with transaction.atomic():
        wallet, made = Wallet.objects.get_or_create(workspace_id=workspace_id, defaults={"is_personal": is_personal})
        code = settings.PERSONAL_PLAN if is_personal else settings.ORGANIZATION_PLAN
        if made and code:
            begin_subscription(wallet=wallet, plan=plan_by_code(code))
    return Wallet.objects.get(pk=wallet.pk)


def lock_wallets(wallet_ids: Iterable[UUID]) -> None:
    """Hold these wallets until the transaction ends, in one order for everybody.

    A statement of its own: one that locks and reads at once reads what was there before it waited.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [array_text(set(wallet_ids))])


def locked_wallet(wallet_id: UUID) -> Wallet:
    """Return a wallet that nobody else changes until the transaction ends."""
    lock_wallets([wallet_id])
    return Wallet.objects.get(pk=wallet_id)
