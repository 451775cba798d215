"""What a person sees of workspaces and of what is in them, as conditions for the database."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.db import models
from django.db.models import Q

from controlplane.workspaces.roles import Role, inherited, stronger

if TYPE_CHECKING:
    from controlplane.accounts.models import User

PROJECT, ALGORITHM, NAMESPACE, ORGANIZATION = "PROJECT", "ALGORITHM", "NAMESPACE", "ORGANIZATION"


@dataclass(slots=True)
class Reach:
    """Where a person's roles lead: namespaces of organizations that they read and manage, and single things that were opened to them."""

    reading: set[UUID] = field(default_factory=set)
    managing: set[UUID] = field(default_factory=set)
    raised: dict[str, set[UUID]] = field(default_factory=lambda: defaultdict(set))


def reach_of(actor: User) -> Reach:
    """Return the reach of a person: two queries, one for who is in no organization."""
    reach = Reach()
    given: dict[UUID, Role] = {}
    organizations: set[UUID] = set()
    rows = apps.get_model("workspaces", "Membership").objects.filter(user=actor)
    for organization, kind, target, role in rows.values_list("organization_id", "kind", "target", "role"):
        given[target] = Role(role)
        organizations.add(organization)
        if kind != ORGANIZATION and role != Role.PARTNER:
            reach.raised[kind].add(target)
    if organizations:
        collect_namespaces(reach, given, organizations)
    return reach


def collect_namespaces(reach: Reach, given: dict[UUID, Role], organizations: set[UUID]) -> None:
    """Fill in the namespaces, parents before their children."""
    roles: dict[UUID, Role | None] = {}
    rows = apps.get_model("workspaces", "Namespace").objects.filter(organization__in=organizations).order_by("path")
    for key, parent, organization, visibility in rows.values_list("id", "parent_id", "organization_id", "visibility"):
        from_above = given.get(organization) if parent is None else inherited(roles.get(parent), private=visibility == "PRIVATE")
        role = stronger(from_above, given.get(key))
        roles[key] = role
        if role is not None and role.rank >= Role.MEMBER.rank:
            reach.reading.add(key)
        if role is not None and role.rank >= Role.MANAGER.rank:
            reach.managing.add(key)


def bound_project(actor: User) -> UUID | None:
    """Return the one project that the token of this request sees, if it is bound to one."""
    return actor.credential.project_id if actor.credential is not None else None


def within_reach(actor: User, kind: str, *, at: str = "", public: bool = True) -> Q:
    """Return the condition for things with `namespace` and `visibility` that the actor sees; with `public` False only through a role.

    `at` is the lookup that leads to them, such as `workflow__project__`.
    """
    reach = reach_of(actor)
    found = Q(**{f"{at}namespace__owner": actor}) | Q(**{f"{at}pk__in": reach.raised[kind]})
    found |= Q(**{f"{at}namespace__in": reach.managing})
    found |= Q(**{f"{at}namespace__in": reach.reading}) & ~Q(**{f"{at}visibility": "PRIVATE"})
    if public:
        found |= Q(**{f"{at}visibility": "PUBLIC"})
    if (bound := bound_project(actor)) is not None:
        found &= Q(**{f"{at}pk": bound}) if kind == PROJECT else Q(pk__in=[])
    return found


class OrganizationQuerySet(models.QuerySet[Any]):
    """Organizations, narrowed."""

    def visible_to(self, actor: User) -> OrganizationQuerySet:
        """Keep public organizations and those that the actor is in, partners included: they see the profile, and can leave."""
        if bound_project(actor) is not None:
            return self.none()
        own = apps.get_model("workspaces", "Membership").objects.filter(user=actor).values("organization")
        return self.filter(Q(visibility="PUBLIC") | Q(pk__in=own))


class NamespaceQuerySet(models.QuerySet[Any]):
    """Namespaces, narrowed."""

    def visible_to(self, actor: User) -> NamespaceQuerySet:
        """Keep the actor's own namespaces, those of their organizations and the public ones."""
        if (bound := bound_project(actor)) is not None:
            return self.filter(projects=bound)
        return self.filter(Q(owner=actor) | Q(visibility="PUBLIC") | Q(pk__in=reach_of(actor).reading))


class MembershipQuerySet(models.QuerySet[Any]):
    """Memberships, narrowed."""

    def visible_to(self, actor: User) -> MembershipQuerySet:
        """Keep the actor's own; those of others are read through the thing that they are on."""
        return self.filter(user=actor)
