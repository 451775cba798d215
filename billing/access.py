"""Whose billing a caller may see or change: that of the whole workspace, so the role on the workspace counts, not one on a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from billing.models import Wallet
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.workspaces.models import Namespace
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.services import visible_namespace


@dataclass(frozen=True, slots=True)
class Billed:
    """A workspace as billing sees it: its root namespace and its wallet."""

    root: Namespace
    wallet: Wallet


def billed_workspace(actor: User, permission: Permission, namespace_id: UUID) -> Billed:
    """Return the workspace that a namespace belongs to. Raises `NotFound` for a namespace that the actor does not see, and `PermissionDenied`."""
    root = visible_namespace(actor, namespace_id).lineage()[0]
    require(actor, permission, root)
    return Billed(root, wallet_of(root))


def root_of(wallet: Wallet) -> Namespace:
    """Return the root namespace of a wallet's workspace."""
    return roots_of(wallet).get()


def is_deleted(wallet: Wallet) -> bool:
    """Tell whether a wallet's workspace is no more: an organization that was deleted."""
    return not roots_of(wallet).exists()


def roots_of(wallet: Wallet) -> QuerySet[Namespace]:
    """Return the root namespace of a wallet's workspace, if there is one."""
    return Namespace.objects.filter(parent=None, **{"owner" if wallet.is_personal else "organization": wallet.workspace_id})
