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
    """Where a person's roles lead.

    Whole organizations by the role on them; in those that they only read, `hidden` namespaces are left out. Single namespaces and things by a
    role that was raised there.
    """

    managed: set[UUID] = field(default_factory=set)
    read: set[UUID] = field(default_factory=set)
    hidden: set[UUID] = field(default_factory=set)
    reading: set[UUID] = field(default_factory=set)
    managing: set[UUID] = field(default_factory=set)
    raised: dict[str, set[UUID]] = field(default_factory=lambda: defaultdict(set))

    def namespaces(self, at: str = "") -> tuple[Q, Q]:
        """Return the conditions for namespaces that are managed and that are read; `at` is the lookup that leads to them."""
        own = f"{at}organization__in"
        inside = at.removesuffix("__") + "__in" if at else "pk__in"
        managed = Q(**{own: self.managed}) | Q(**{inside: self.managing})
        read = (Q(**{own: self.read}) & ~Q(**{inside: self.hidden})) | Q(**{inside: self.reading})
        return managed, read


def reach_of(actor: User) -> Reach:
    """Return the reach of a person: one query, and one more for organizations where single namespaces are private or raised."""
    reach = Reach()
    given: dict[UUID, Role] = {}
    looked_into: set[UUID] = set()
    rows = apps.get_model("workspaces", "Membership").objects.filter(user=actor)
    for organization, kind, target, text in rows.values_list("organization_id", "kind", "target", "role"):
        role = given[target] = Role(text)
        if kind != ORGANIZATION:
            reach.raised[kind].add(target)
            looked_into |= {organization} if kind == NAMESPACE else set()
        elif role.rank >= Role.MANAGER.rank:
            reach.managed.add(organization)
        elif role is Role.MEMBER:
            reach.read.add(organization)
    namespaces = apps.get_model("workspaces", "Namespace").objects
    if reach.read:
        private = namespaces.filter(organization__in=reach.read, visibility="PRIVATE", parent__isnull=False)
        looked_into |= set(private.values_list("organization_id", flat=True).distinct())
    if looked_into:
        collect_namespaces(reach, given, namespaces.filter(organization__in=looked_into))
    return reach


def collect_namespaces(reach: Reach, given: dict[UUID, Role], namespaces: models.QuerySet[Any]) -> None:
    """Fill in single namespaces, parents before their children."""
    roles: dict[UUID, Role | None] = {}
    for key, parent, organization, visibility in namespaces.order_by("path").values_list(
        "id", "parent_id", "organization_id", "visibility"
    ):
        from_above = given.get(organization) if parent is None else inherited(roles.get(parent), private=visibility == "PRIVATE")
        role = roles[key] = stronger(from_above, given.get(key))
        if role is None or role is Role.PARTNER:
            reach.hidden.add(key)
        elif role.rank >= Role.MANAGER.rank:
            reach.managing.add(key)
        else:
            reach.reading.add(key)


def bound_project(actor: User) -> UUID | None:
    """Return the one project that the token of this request sees, if it is bound to one."""
    return actor.credential.project_id if actor.credential is not None else None


def within_reach(actor: User, kind: str, *, at: str = "", public: bool = True) -> Q:
    """Return the condition for things with `namespace` and `visibility` that the actor sees; with `public` False only through a role.

    `at` is the lookup that leads to them, such as `workflow__project__`.
    """
    reach = reach_of(actor)
    found = Q(**{f"{at}namespace__owner": actor}) | Q(**{f"{at}pk__in": reach.raised[kind]})
    managed, read = reach.namespaces(f"{at}namespace__")
    found |= managed | (read & ~Q(**{f"{at}visibility": "PRIVATE"}))
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
        managed, read = reach_of(actor).namespaces()
        found = self.filter(Q(owner=actor) | Q(visibility="PUBLIC") | managed | read)
        bound = bound_project(actor)
        return found if bound is None else found.filter(projects=bound)


class MembershipQuerySet(models.QuerySet[Any]):
    """Memberships, narrowed."""

    def visible_to(self, actor: User) -> MembershipQuerySet:
        """Keep the actor's own; those of others are read through the thing that they are on."""
        return self.filter(user=actor)
