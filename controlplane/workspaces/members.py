"""Members: who has which role on an organization or on something in it, giving roles, raising them on a single thing, and leaving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from controlplane.accounts.models import User
from controlplane.common.credentials import check_scope
from controlplane.common.errors import Conflict, NotFound, PermissionDenied
from controlplane.common.lookup import visible_or_404
from controlplane.workspaces.models import Membership, Namespace, Organization
from controlplane.workspaces.permissions import (
    Permission,
    Target,
    allowed,
    check_bound,
    levels_to,
    namespace_of,
    require,
    standing_on,
)
from controlplane.workspaces.roles import Role, Standing, descend, may_give
from controlplane.workspaces.signals import access_lowered
from controlplane.workspaces.trail import note


@dataclass(frozen=True, slots=True)
class Member:
    """A person with a role on something; `source` is the path of what the role was given on."""

    user: User
    role: Role
    source: str


def members_of(target: Target) -> list[Member]:
    """Return everyone with a role on something, the strongest first, then by name. In a personal workspace that is its owner."""
    organization = organization_of(target)
    if organization is None:
        namespace = namespace_of_any(target)
        assert namespace.owner is not None  # noqa: S101 - a constraint of the table
        return [Member(namespace.owner, Role.OWNER, namespace.lineage()[0].path)]
    found = [Member(user, standing.role, standing.source) for user, standing in standings(organization, target)]
    return sorted(found, key=lambda member: (-member.role.rank, member.user.username.lower()))


def readable_members(actor: User, target: Target) -> list[Member]:
    """Return the members that the actor may read: all, or with the role of a partner their own, to find it and leave. Raises `PermissionDenied`."""
    members = members_of(target)
    if not allowed(actor, Permission.MEMBER_READ, target):
        own = [member for member in members if member.user == actor]
        if own:
            check_scope(actor.credential, Permission.MEMBER_READ.scope)
            check_bound(actor, target)
            return own
    require(actor, Permission.MEMBER_READ, target)
    return members


def standings(organization: Organization, target: Target) -> Iterator[tuple[User, Standing]]:
    """Yield each member of an organization with their standing on something in it."""
    levels = levels_to(target)
    rows = Membership.objects.filter(organization=organization, target__in=[level.id for level in levels]).select_related("user")
    given: dict[User, dict[UUID, Role]] = {}
    for row in rows:
        given.setdefault(row.user, {})[row.target] = Role(row.role)
    for user, roles in given.items():
        standing = descend(levels, roles)
        if standing is not None:
            yield user, standing


def give_role(*, actor: User, target: Target, user_id: UUID, role: Role) -> tuple[Member, bool]:
    """Give a person a role, or another one; the flag tells whether they had none here before.

    On an organization it is their role everywhere in it; on a single thing in it a role can only be raised. Raises `PermissionDenied` (who does
    not manage members, or for a role above their own), `Conflict` (personal workspace, last owner, not in the organization, no raise).
    """
    organization = shared(target)
    require(actor, Permission.MEMBER_MANAGE, target)
    user = visible_or_404(User.objects.filter(is_active=True), pk=user_id)
    with transaction.atomic():
        lock(organization)
        giver = standing_on(actor, target)
        if not may_give(giver.role if giver else None, role):
            raise PermissionDenied("role_above_yours", f"You can give at most the role that you have here, and '{role}' is above it.")
        before = standing_on(user, target)
        if is_organization(target):
            set_organization_role(organization, user, role)
        else:
            raise_role(actor, organization, target, user, role)
        if before is not None and role.rank < before.role.rank:
            access_lowered.send(sender=Organization, organization=organization, users=[user.pk], path=target.path)
        former = before.role.value if before else None
        note(actor, "member.give", target, workspace=organization.pk, user=user.username, role=role.value, before=former)
    after = standing_on(user, target)
    assert after is not None  # noqa: S101 - it was just given
    return Member(user, after.role, after.source), before is None


def set_organization_role(organization: Organization, user: User, role: Role) -> None:
    """Write a role on an organization. Raises `Conflict` when the last owner would be one no more."""
    if role != Role.OWNER:
        refuse_last_owner(organization, user)
    Membership.objects.update_or_create(
        user=user,
        target=organization.pk,
        defaults={"organization": organization, "kind": Membership.Kind.ORGANIZATION, "role": role},
    )


def raise_role(actor: User, organization: Organization, target: Target, user: User, role: Role) -> None:
    """Write a role on a single thing, above the one that is inherited."""
    if not Membership.objects.filter(user=user, target=organization.pk).exists():
        if not allowed(actor, Permission.MEMBER_MANAGE, organization):
            raise Conflict(
                "not_in_organization",
                f"'{user.username}' is not in '{organization.name}' yet. Ask an owner of the organization to add them as a partner first.",
            )
        set_organization_role(organization, user, Role.PARTNER)
        note(actor, "member.give", organization, workspace=organization.pk, user=user.username, role=Role.PARTNER.value, before=None)
    inherited = inherited_standing(user, target)
    own = Membership.objects.filter(user=user, target=target.pk)
    if inherited is not None and role == inherited.role:
        own.delete()
    elif inherited is not None and role.rank < inherited.role.rank:
        raise Conflict(
            "role_inherited",
            f"'{user.username}' is {inherited.role} here through '{inherited.source}'. A role on a single project, algorithm or namespace can "
            "only be raised: lower it there.",
        )
    else:
        defaults = {"organization": organization, "kind": kind_of(target), "role": role}
        Membership.objects.update_or_create(user=user, target=target.pk, defaults=defaults)


def remove_member(*, actor: User, target: Target, user_id: UUID) -> None:
    """Take a person's role away: from an organization with all that was raised in it, or from a single thing. Anyone may leave.

    Raises `PermissionDenied`, `NotFound` (no such member), `Conflict` (last owner, inherited role).
    """
    organization = shared(target)
    check_bound(actor, target)
    with transaction.atomic():
        lock(organization)
        if user_id != actor.pk:
            require(actor, Permission.MEMBER_MANAGE, target)
        user = User.objects.filter(pk=user_id).first()
        standing = standing_on(user, target) if user is not None else None
        if user is None or standing is None:
            raise NotFound("not_found", "There is no such member here.")
        if is_organization(target):
            refuse_last_owner(organization, user)
            Membership.objects.filter(organization=organization, user=user).delete()
        elif not Membership.objects.filter(user=user, target=target.pk).delete()[0]:
            raise Conflict(
                "role_inherited",
                f"'{user.username}' is {standing.role} here through '{standing.source}'. Remove them there, or lower their role there.",
            )
        access_lowered.send(sender=Organization, organization=organization, users=[user.pk], path=target.path)
        note(actor, "member.remove", target, workspace=organization.pk, user=user.username, before=standing.role.value)


def inherited_standing(user: User, target: Target) -> Standing | None:
    """Return the standing that a person would have on something without a role of their own on it."""
    levels = levels_to(target)
    rows = Membership.objects.filter(user=user, target__in=[level.id for level in levels[:-1]])
    return descend(levels, {key: Role(role) for key, role in rows.values_list("target", "role")})


def refuse_last_owner(organization: Organization, user: User) -> None:
    """Raise `Conflict` if this person is the only owner. The organization must be locked."""
    owners = Membership.objects.filter(target=organization.pk, role=Role.OWNER)
    if owners.filter(user=user).exists() and not owners.exclude(user=user).exists():
        raise Conflict(
            "last_owner",
            f"'{user.username}' is the last owner of '{organization.name}'. Make somebody else an owner first, then try again.",
        )


def lock(organization: Organization) -> None:
    """Let one change of an organization's members happen at a time."""
    visible_or_404(Organization.objects.select_for_update(no_key=True), pk=organization.pk)


def shared(target: Target) -> Organization:
    """Return the organization of something. Raises `Conflict` in a personal workspace, which has no members."""
    organization = organization_of(target)
    if organization is None:
        raise Conflict(
            "personal_workspace", "A personal workspace has no members. Create an organization, and share what you create in it with them."
        )
    return organization


def organization_of(target: Target) -> Organization | None:
    """Return the organization of something, None in a personal workspace."""
    return target if isinstance(target, Organization) else namespace_of_any(target).organization


def namespace_of_any(target: Target) -> Namespace:
    """Return the namespace of something that is no organization."""
    assert not isinstance(target, Organization)  # noqa: S101 - callers have looked
    return namespace_of(target)


def is_organization(target: Target) -> bool:
    """Tell whether roles on this are roles on the whole organization: itself, or its root namespace."""
    return isinstance(target, Organization) or (isinstance(target, Namespace) and target.parent_id is None)


def kind_of(target: Target) -> str:
    """Return what kind of thing a role is raised on."""
    return type(target).__name__.upper()
