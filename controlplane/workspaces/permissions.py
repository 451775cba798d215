"""The only permission checks. Views fetch what is visible (else 404); `require` then answers 403 with what the caller is here."""

from __future__ import annotations

from typing import Protocol

from controlplane.accounts.models import User
from controlplane.common.errors import PermissionDenied
from controlplane.workspaces.models import Namespace, Visibility
from controlplane.workspaces.roles import PUBLIC_PERMISSIONS, ROLE_TABLE, Permission, Role

__all__ = ["Permission", "Role", "allowed", "require", "role_on"]


class InNamespace(Protocol):
    """Something that belongs to a namespace and has a visibility of its own: a project, for instance."""

    @property
    def namespace(self) -> Namespace:
        """Where it belongs."""

    @property
    def visibility(self) -> str:
        """Who sees it."""


def role_on(actor: User, target: Namespace | InNamespace) -> Role | None:
    """Return the actor's role on a namespace or on something in it; None for a stranger."""
    return Role.OWNER if namespace_of(target).owner_id == actor.pk else None


def allowed(actor: User, permission: Permission, target: Namespace | InNamespace) -> bool:
    """Tell whether the actor may do this."""
    role = role_on(actor, target)
    if role is not None and permission in ROLE_TABLE[role]:
        return True
    return target.visibility == Visibility.PUBLIC and permission in PUBLIC_PERMISSIONS


def require(actor: User, permission: Permission, target: Namespace | InNamespace) -> None:
    """Raise `PermissionDenied` unless the actor may do this; the message says which role they have and what it takes."""
    if allowed(actor, permission, target):
        return
    role = role_on(actor, target)
    standing = f"You are {role} here" if role else "You have no role here"
    able = ", ".join(candidate for candidate in Role if permission in ROLE_TABLE[candidate])
    raise PermissionDenied(
        "permission_denied", f"{standing}. '{permission}' takes one of: {able}. Ask the owner of '{namespace_of(target).path}'."
    )


def namespace_of(target: Namespace | InNamespace) -> Namespace:
    """Return the namespace itself or the one that something belongs to."""
    return target if isinstance(target, Namespace) else target.namespace
