"""What can be done with organizations and namespaces."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError, Value
from django.db.models.functions import Concat, Substr

from controlplane.accounts.models import User
from controlplane.common.errors import Conflict, PermissionDenied
from controlplane.common.lookup import visible_or_404
from controlplane.workspaces.models import Membership, Namespace, Organization, Visibility
from controlplane.workspaces.names import check_namespace_name, check_organization_name, name_taken
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.querysets import bound_project
from controlplane.workspaces.roles import Role
from controlplane.workspaces.signals import access_lowered, organization_deleting
from controlplane.workspaces.trail import changed, note

DEEPEST, MOST_NAMESPACES, MOST_ORGANIZATIONS = 5, 200, 50


def create_personal_namespace(*, user: User) -> Namespace:
    """Create the workspace that every user has; its path is their name."""
    return Namespace.objects.create(name=user.username, path=user.username, owner=user, visibility=Visibility.PRIVATE)


def create_organization(*, actor: User, name: str, visibility: str = Visibility.TEAM, **profile: str) -> Organization:
    """Create an organization with its root namespace; the actor becomes its owner. Raises `InvalidInput` (name) and `Conflict` (taken)."""
    if bound_project(actor) is not None:
        raise PermissionDenied("token_bound", "This token is for one project only. Use a token that is not bound to a project.")
    check_organization_name(name)
    if Membership.objects.filter(user=actor, kind=Membership.Kind.ORGANIZATION, role=Role.OWNER).count() >= MOST_ORGANIZATIONS:
        raise Conflict(
            "too_many_organizations", f"You own {MOST_ORGANIZATIONS} organizations, which is the most. Delete one, or pass one on."
        )
    try:
        with transaction.atomic():
            organization = Organization.objects.create(name=name, visibility=visibility, **profile)
            Namespace.objects.create(name=name, path=name, organization=organization, visibility=visibility)
            Membership.objects.create(
                organization=organization, user=actor, kind=Membership.Kind.ORGANIZATION, target=organization.pk, role=Role.OWNER
            )
            note(actor, "organization.create", organization, workspace=organization.pk, visibility=visibility)
    except IntegrityError as error:
        raise name_taken(name) from error
    return organization


def update_organization(*, actor: User, organization_id: UUID, **changes: str) -> Organization:
    """Change the profile; a new name moves all paths below it. Raises as `create_organization`, and `PermissionDenied`."""
    require(actor, Permission.ORGANIZATION_EDIT, visible_organization(actor, organization_id))
    try:
        with transaction.atomic():
            organization = locked_organization(organization_id)
            require(actor, Permission.ORGANIZATION_EDIT, organization)
            if changes.get("name", organization.name) != organization.name:
                check_organization_name(changes["name"])
            before = {field: getattr(organization, field) for field in changes}
            if told := changed(before, changes):
                for field in told:
                    setattr(organization, field, changes[field])
                organization.save(update_fields=[*told, "updated_at"])
                root = Namespace.objects.get(organization=organization, parent=None)
                move_namespaces(root, organization.name)
                Namespace.objects.filter(pk=root.pk).update(visibility=organization.visibility)
                note(actor, "organization.edit", organization, workspace=organization.pk, changed=told)
    except IntegrityError as error:
        raise name_taken(changes.get("name", "")) from error
    return organization


def move_namespaces(root: Namespace, name: str) -> None:
    """Give a root namespace another name, and all below it their new paths. The organization must be locked."""
    if root.path == name:
        return
    below = Namespace.objects.filter(organization=root.organization_id, path__startswith=f"{root.path}/")
    below.update(path=Concat(Value(name), Substr(F("path"), len(root.path) + 1)))
    Namespace.objects.filter(pk=root.pk).update(name=name, path=name)


def delete_organization(*, actor: User, organization_id: UUID) -> None:
    """Delete an empty organization with its memberships. Raises `Conflict` naming what is still in it, or that is paid for it."""
    require(actor, Permission.ORGANIZATION_DELETE, visible_organization(actor, organization_id))
    try:
        with transaction.atomic():
            organization = locked_organization(organization_id)
            require(actor, Permission.ORGANIZATION_DELETE, organization)
            # Who creates something in a namespace holds its row: from here on nobody does.
            list(Namespace.objects.select_for_update().filter(organization=organization).order_by("pk"))
            organization_deleting.send(sender=Organization, organization=organization)
            organization.namespaces.all().delete()
            Organization.objects.get(pk=organization.pk).delete()
            note(actor, "organization.delete", organization, workspace=organization.pk)
    except ProtectedError as error:
        raise not_empty(visible_organization(actor, organization_id).path, error) from error


def create_namespace(*, actor: User, parent_id: UUID, name: str, visibility: str | None = None) -> Namespace:
    """Create a sub-namespace; members of the parent are members of it.

    Raises `InvalidInput` (name) and `Conflict` (taken, too deep, too many).
    """
    parent = visible_namespace(actor, parent_id)
    require(actor, Permission.NAMESPACE_CREATE, parent)
    check_namespace_name(name)
    try:
        with transaction.atomic():
            # The workspace before the namespace, as whoever renames it does.
            lock_workspace(parent)
            parent = locked_namespace(parent_id)
            require(actor, Permission.NAMESPACE_CREATE, parent)
            refuse_one_more(parent)
            namespace = Namespace.objects.create(
                name=name,
                path=f"{parent.path}/{name}",
                parent=parent,
                owner=parent.owner,
                organization=parent.organization,
                visibility=visibility or default_visibility(parent),
            )
            note(actor, "namespace.create", namespace, workspace=namespace.workspace_id, visibility=namespace.visibility)
    except IntegrityError as error:
        raise name_taken(f"{parent.path}/{name}") from error
    return namespace


def refuse_one_more(parent: Namespace) -> None:
    """Raise `Conflict` when namespaces would be too deep or too many: what people see is found through them, at every request."""
    if len(parent.lineage()) >= DEEPEST:
        raise Conflict("too_deep", f"Namespaces go {DEEPEST} levels deep, and '{parent.path}' is the deepest. Create it further up.")
    if Namespace.objects.filter(owner=parent.owner, organization=parent.organization).count() >= MOST_NAMESPACES:
        raise Conflict(
            "too_many_namespaces",
            f"'{parent.lineage()[0].path}' has {MOST_NAMESPACES} namespaces, which is the most. Delete one, or use projects.",
        )


def update_namespace(*, actor: User, namespace_id: UUID, visibility: str) -> Namespace:
    """Change who sees a sub-namespace. Raises `Conflict` for a root, which follows the person or the organization."""
    require(actor, Permission.NAMESPACE_EDIT, visible_namespace(actor, namespace_id))
    with transaction.atomic():
        namespace = locked_namespace(namespace_id)
        require(actor, Permission.NAMESPACE_EDIT, namespace)
        if visibility == namespace.visibility:
            return namespace
        refuse_root(namespace, "changed")
        before, namespace.visibility = namespace.visibility, visibility
        namespace.save(update_fields=["visibility", "updated_at"])
        if namespace.organization is not None and visibility == Visibility.PRIVATE:
            announce_lowered(namespace.organization, namespace.path)
        note(actor, "namespace.edit", namespace, workspace=namespace.workspace_id, changed={"visibility": [before, visibility]})
    return namespace


def delete_namespace(*, actor: User, namespace_id: UUID) -> None:
    """Delete an empty sub-namespace. Raises `Conflict` naming what is in it, or for a root."""
    namespace = visible_namespace(actor, namespace_id)
    require(actor, Permission.NAMESPACE_DELETE, namespace)
    refuse_root(namespace, "deleted")
    try:
        with transaction.atomic():
            locked = visible_or_404(Namespace.objects.select_for_update(of=("self",)), pk=namespace.pk)
            require(actor, Permission.NAMESPACE_DELETE, locked)
            locked.delete()
            forget_target(namespace.pk)
            note(actor, "namespace.delete", namespace, workspace=namespace.workspace_id)
    except ProtectedError as error:
        raise not_empty(namespace.path, error) from error


def allow_publishing(*, path: str, allowed: bool) -> Namespace:
    """Let a workspace publish to the public HUB, or no more: for operators. Raises `NotFound`."""
    namespace: Namespace = visible_or_404(Namespace.objects.filter(parent=None), path__iexact=path)
    with transaction.atomic():
        Namespace.objects.filter(pk=namespace.pk).update(may_publish=allowed)
        note(None, "namespace.publishing", namespace, workspace=namespace.workspace_id, allowed=allowed)
    namespace.may_publish = allowed
    return namespace


def default_visibility(namespace: Namespace) -> str:
    """Return what is new in a namespace without saying who sees it: the team's in an organization, else the person's own."""
    return str(Visibility.PRIVATE if namespace.is_personal else Visibility.TEAM)


def announce_lowered(organization: Organization, path: str) -> None:
    """Tell other rooms that plain members of an organization may have lost access to what is at this path or below."""
    rows = organization.memberships.filter(kind=Membership.Kind.ORGANIZATION, role=Role.MEMBER) | organization.memberships.filter(
        kind=Membership.Kind.NAMESPACE, role=Role.MEMBER
    )
    users = list(rows.values_list("user_id", flat=True).distinct())
    access_lowered.send(sender=Organization, organization=organization, users=users, path=path)


def locked_organization(organization_id: UUID) -> Organization:
    """Return an organization that nobody else changes until the transaction ends. Raises `NotFound`."""
    found: Organization = visible_or_404(Organization.objects.select_for_update(no_key=True), pk=organization_id)
    return found


def locked_namespace(namespace_id: UUID) -> Namespace:
    """Return a namespace that nobody deletes until the transaction ends: for whoever changes it, or creates something in it. Raises `NotFound`."""
    rows: Any = Namespace.objects.select_for_update(no_key=True, of=("self",)).select_related("parent", "organization", "owner")
    found: Namespace = visible_or_404(rows, pk=namespace_id)
    return found


def lock_workspace(namespace: Namespace) -> None:
    """Let one change of a workspace's paths happen at a time."""
    if namespace.organization_id is not None:
        locked_organization(namespace.organization_id)
    elif namespace.parent_id is not None:
        locked_namespace(namespace.lineage()[0].pk)


def forget_target(target: UUID) -> None:
    """Delete the roles that were given on something that is no more."""
    Membership.objects.filter(target=target).delete()


def refuse_root(namespace: Namespace, verb: str) -> None:
    """Raise `Conflict` for a root namespace."""
    if namespace.parent_id is None:
        owner = "your account" if namespace.is_personal else "its organization"
        raise Conflict("root_namespace", f"'{namespace.path}' belongs to {owner} and cannot be {verb} by itself.")


def not_empty(path: str, error: ProtectedError) -> Conflict:
    """Return the refusal to delete something that holds other things, with their paths."""
    held = sorted(f"{row._meta.verbose_name} '{getattr(row, 'path', row)}'" for row in error.protected_objects)
    more = f" and {len(held) - 10} more" if len(held) > 10 else ""
    return Conflict("not_empty", f"'{path}' still holds: {', '.join(held[:10])}{more}. Delete them first.", fields={"_": held[:100]})


def visible_organization(actor: User, organization_id: UUID) -> Organization:
    """Return an organization that the actor sees. Raises `NotFound`."""
    found: Organization = visible_or_404(Organization.objects.visible_to(actor), pk=organization_id)
    return found


def visible_namespace(actor: User, namespace_id: UUID) -> Namespace:
    """Return a namespace that the actor sees. Raises `NotFound`."""
    rows: Any = Namespace.objects.visible_to(actor).select_related("parent", "organization", "owner")
    found: Namespace = visible_or_404(rows, pk=namespace_id)
    return found
