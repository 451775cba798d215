"""The only permission checks. Views fetch what is visible (else 404); `require` then answers 403 with what the caller is here."""

from __future__ import annotations

from typing import Any, Protocol

from controlplane.accounts.models import User
from controlplane.common.credentials import check_scope
from controlplane.common.errors import PermissionDenied
from controlplane.workspaces.models import Membership, Namespace, Organization, Visibility
from controlplane.workspaces.querysets import bound_project
from controlplane.workspaces.roles import PUBLIC_PERMISSIONS, ROLE_TABLE, Level, Permission, Role, Standing, descend

__all__ = ["Permission", "Role", "allowed", "require", "role_on", "standing_on"]


class InNamespace(Protocol):
    """Something that belongs to a namespace and has a visibility of its own: a project, for instance."""

    pk: Any

    @property
    def namespace(self) -> Namespace:
        """Where it belongs."""

    @property
    def visibility(self) -> str:
        """Who sees it."""

    @property
    def path(self) -> str:
        """Its full path."""


Target = Organization | Namespace | InNamespace


def standing_on(actor: User, target: Target) -> Standing | None:
    """Return the actor's role on something and where it comes from; None for a stranger."""
    namespace = None if isinstance(target, Organization) else namespace_of(target)
    if namespace is not None and namespace.is_personal:
        return Standing(Role.OWNER, namespace.lineage()[0].path) if namespace.owner_id == actor.pk else None
    rows = Membership.objects.filter(user=actor, organization=organization_id(target))
    return descend(levels_to(target), {key: Role(role) for key, role in rows.values_list("target", "role")})


def levels_to(target: Target) -> list[Level]:
    """Return the way from the organization down to something in it."""
    if isinstance(target, Organization):
        return [Level(target.pk, target.path, private=False)]
    root, *below = namespace_of(target).lineage()
    levels = [Level(root.workspace_id, root.path, private=False)]
    levels += [Level(one.pk, one.path, private=one.visibility == Visibility.PRIVATE) for one in below]
    if not isinstance(target, Namespace):
        levels.append(Level(target.pk, target.path, private=target.visibility == Visibility.PRIVATE))
    return levels


def role_on(actor: User, target: Target) -> Role | None:
    """Return the actor's role on something; None for a stranger."""
    standing = standing_on(actor, target)
    return standing.role if standing else None


def allowed(actor: User, permission: Permission, target: Target) -> bool:
    """Tell whether the actor may do this, whatever the token that they use."""
    return permission in permissions_on(role_on(actor, target), target)


def permissions_on(role: Role | None, target: Target) -> frozenset[Permission]:
    """Return what a role, or none, allows on something."""
    public = PUBLIC_PERMISSIONS if target.visibility == Visibility.PUBLIC else frozenset()
    return public | (ROLE_TABLE[role] if role is not None else frozenset())


def require(actor: User, permission: Permission, target: Target) -> None:
    """Raise `PermissionDenied` unless the actor, with the token of this request, may do this; the message says what it takes."""
    check_scope(actor.credential, permission.scope)
    check_bound(actor, target)
    role = role_on(actor, target)
    if permission in permissions_on(role, target):
        return
    standing = f"You are {role} here" if role else "You have no role here"
    able = ", ".join(candidate for candidate in Role if permission in ROLE_TABLE[candidate])
    raise PermissionDenied(
        "permission_denied", f"{standing}. '{permission}' takes one of: {able}. Ask the owner of '{path_of_workspace(target)}'."
    )


def check_bound(actor: User, target: Target) -> None:
    """Raise `PermissionDenied` for a token that is bound to another project."""
    bound = bound_project(actor)
    if bound is not None and target.pk != bound:
        raise PermissionDenied("token_bound", "This token is for one project only. Use a token that is not bound to a project.")


def path_of_workspace(target: Target) -> str:
    """Return the path of the workspace whose owner can help."""
    return target.path if isinstance(target, Organization) else namespace_of(target).path


def organization_id(target: Target) -> Any:
    """Return the id of the organization that something belongs to, None in a personal workspace."""
    return target.pk if isinstance(target, Organization) else namespace_of(target).organization_id


def namespace_of(target: Namespace | InNamespace) -> Namespace:
    """Return the namespace itself or the one that something belongs to."""
    return target if isinstance(target, Namespace) else target.namespace
