"""What operators do to the credits and the plan of a workspace: each with a reason, in the audit log of the workspace, and once for each key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from billing.grants import correct_charge, grant_credits, take_back
from billing.models import Grant, GrantSource, LedgerEntry, Plan, Subscription, Wallet
from billing.models.ledger import FOR_EVER
from billing.pricing import credits_text
from billing.subscriptions import begin_subscription, live_subscription
from billing.wallets import lock_wallets, wallet_of
from controlplane.accounts.models import User
from controlplane.audit.services import record
from controlplane.common.errors import Conflict
from controlplane.workspaces.models import Namespace


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace as operators name it."""

    path: str
    wallet: Wallet


def workspace_of(root: Namespace) -> Workspace:
    """Return the workspace of a root namespace; its wallet is opened if it has none."""
    return Workspace(root.path, wallet_of(root))


def workspace_of_wallet(wallet_id: UUID) -> Workspace:
    """Return the workspace of a wallet, by its id where it is deleted."""
    wallet = Wallet.objects.get(pk=wallet_id)
    whose = {"owner" if wallet.is_personal else "organization": wallet.workspace_id}
    path = Namespace.objects.filter(parent=None, **whose).values_list("path", flat=True).first()
    return Workspace(path or str(wallet.workspace_id), wallet)


def give_credits(
    *, workspace: Workspace, amount: int, key: str, reason: str, expires_at: datetime = FOR_EVER, actor: User | None = None
) -> tuple[Grant, bool]:
    """Grant `amount` micro-credits; returns the grant, and whether it is new. Raises as `grant_credits`."""
    told = operator_key(key)
    with transaction.atomic():
        lock_wallets([workspace.wallet.pk])
        new = not Grant.objects.filter(key=told).exists()
        grant = grant_credits(
            wallet_id=workspace.wallet.pk,
            amount=amount,
            key=told,
            source=GrantSource.OPERATOR,
            expires_at=expires_at,
            reason=reason,
            actor_id=actor.pk if actor else None,
        )
        if new:
            until = "" if expires_at == FOR_EVER else expires_at.isoformat()
            note_credits(actor, "credits.grant", workspace, amount=amount, reason=reason, grant=grant.pk, key=key, expires_at=until)
    return grant, new


def take_credits_back(*, grant: Grant, amount: int, key: str, reason: str, actor: User | None = None) -> tuple[LedgerEntry, bool]:
    """Take `amount` micro-credits of a grant back; returns the entry, and whether it is new. Raises as `take_back`."""
    workspace, told = workspace_of_wallet(grant.wallet_id), operator_key(key)
    with transaction.atomic():
        lock_wallets([grant.wallet_id])
        new = not LedgerEntry.objects.filter(key=f"take-back:{told}").exists()
        entry = take_back(grant_id=grant.pk, amount=amount, key=told, reason=reason, actor_id=actor.pk if actor else None)
        if new:
            note_credits(actor, "credits.take_back", workspace, amount=amount, reason=reason, grant=grant.pk, key=key)
        elif (entry.wallet_id, entry.amount) != (grant.wallet_id, amount):
            raise Conflict("key_reused", f"The key '{key}' was used to take back {credits_text(entry.amount)} credits. Use a new one.")
    return entry, new


def correct(*, entry_id: int, amount: int, reason: str, actor: User | None = None) -> tuple[Grant, bool]:
    """Give back `amount` micro-credits of a charge; returns the grant, and whether it is new. One of another amount before is a `Conflict`."""
    with transaction.atomic():
        entry = LedgerEntry.objects.filter(pk=entry_id).first()
        if entry is not None:
            lock_wallets([entry.wallet_id])
        known = Grant.objects.filter(key=f"correction:{entry_id}", amount=amount).first()
        if known is not None:
            return known, False
        grant = correct_charge(entry_id=entry_id, amount=amount, reason=reason, actor_id=actor.pk if actor else None)
        workspace = workspace_of_wallet(grant.wallet_id)
        note_credits(actor, "credits.correct", workspace, amount=amount, reason=reason, entry=entry_id, grant=grant.pk)
    return grant, True


def assign_plan(*, workspace: Workspace, plan: Plan, reason: str, actor: User | None = None) -> tuple[Subscription, bool]:
    """Put a workspace on a plan that nobody pays for; returns the subscription, and whether it is new.

    Raises `Conflict` while one is paid for, and for a plan that is not for such a workspace.
    """
    wallet = workspace.wallet
    with transaction.atomic():
        lock_wallets([wallet.pk])
        present = live_subscription(wallet.pk)
        if present is not None and present.stripe_id:
            detail = f"'{workspace.path}' pays for the plan {present.plan.name}. Cancel that subscription first, or it goes on being paid."
            raise Conflict("plan_is_paid", detail)
        if not (plan.personal if wallet.is_personal else plan.organizations):
            raise Conflict("plan_not_for", f"The plan {plan.name} is not for {'persons' if wallet.is_personal else 'organizations'}.")
        made = begin_subscription(wallet=wallet, plan=plan)
        new = present is None or present.pk != made.pk
        if new:
            before = present.plan.code if present else ""
            note_workspace(actor, "plan.assign", workspace, plan=plan.code, before=before, reason=reason)
    return made, new


def operator_key(key: str) -> str:
    """Return the key of what an operator does, apart from those of plans and payments."""
    return f"operator:{key}"


def note_credits(actor: User | None, action: str, workspace: Workspace, *, amount: int, **details: Any) -> None:
    """Write the audit log's line of credits."""
    note_workspace(actor, action, workspace, credits=credits_text(amount), **details)


def note_workspace(actor: User | None, action: str, workspace: Workspace, **details: Any) -> None:
    """Write a line in the workspace's audit log."""
    target, chain = workspace.wallet.pk, workspace.wallet.workspace_id
    record(actor=actor, action=action, kind="wallet", target=target, name=workspace.path, chain=chain, details=details)
