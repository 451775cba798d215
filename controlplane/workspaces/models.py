"""Organizations, namespaces (what owns projects and algorithms, and the first part of their paths) and memberships."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from controlplane.accounts.models import User
from controlplane.common.models import BaseModel
from controlplane.workspaces.querysets import MembershipQuerySet, NamespaceQuerySet, OrganizationQuerySet
from controlplane.workspaces.roles import Role


class Visibility(models.TextChoices):
    """Who sees an object: everyone with an account, all members of its workspace, or managers, owners and those with a role on it."""

    PUBLIC = "PUBLIC", "Public"
    TEAM = "TEAM", "Team"
    PRIVATE = "PRIVATE", "Private"


class Organization(BaseModel):
    """A group of people with a workspace of their own; its name is the path of its root namespace."""

    name = models.CharField(max_length=60)
    description = models.TextField(max_length=10_000, blank=True, default="")
    homepage = models.CharField(max_length=300, blank=True, default="")
    location = models.CharField(max_length=100, blank=True, default="")
    visibility = models.CharField(
        max_length=10, choices=[(value, value.title()) for value in ("PUBLIC", "TEAM")], default=Visibility.TEAM.value
    )

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name = "organization"
        constraints = [models.UniqueConstraint(Lower("name"), name="organization_name_unique")]

    @property
    def path(self) -> str:
        """Return the path of its root namespace."""
        return self.name

    @property
    def workspace_id(self) -> UUID:
        """Return the id of the workspace, which is the organization itself."""
        return self.pk


class Namespace(BaseModel):
    """A workspace, or a part of one: a person's own (the user's name is its path), an organization's, or a sub-namespace of either."""

    name = models.CharField(max_length=100)
    path = models.CharField(max_length=600)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="namespaces")
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, blank=True, related_name="namespaces")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    visibility = models.CharField(max_length=10, choices=Visibility, default=Visibility.PRIVATE)
    may_publish = models.BooleanField(default=False)

    objects = NamespaceQuerySet.as_manager()

    class Meta:
        verbose_name = "namespace"
        constraints = [
            models.UniqueConstraint(Lower("path"), name="namespace_path_unique"),
            models.CheckConstraint(
                condition=Q(owner=None, organization__isnull=False) | Q(owner__isnull=False, organization=None),
                name="namespace_of_person_or_organization",
            ),
        ]

    @property
    def is_personal(self) -> bool:
        """Tell whether it belongs to one person."""
        return self.organization_id is None

    @property
    def workspace_id(self) -> UUID:
        """Return the id of the organization or the person that it belongs to."""
        found: UUID | None = self.organization_id or self.owner_id
        assert found is not None  # noqa: S101 - a constraint of the table
        return found

    def lineage(self) -> list[Namespace]:
        """Return the namespaces from the root down to this one."""
        above = self.parent
        return [*(above.lineage() if above else []), self]


class Membership(BaseModel):
    """A role of a person: on an organization, or raised on one thing in it. `target` is the id of that organization or thing."""

    class Kind(models.TextChoices):
        """What a role can be given on."""

        ORGANIZATION = "ORGANIZATION"
        NAMESPACE = "NAMESPACE"
        PROJECT = "PROJECT"
        ALGORITHM = "ALGORITHM"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    kind = models.CharField(max_length=12, choices=Kind)
    target = models.UUIDField()
    role = models.CharField(max_length=10, choices=[(role.value, role.value.title()) for role in Role])

    objects = MembershipQuerySet.as_manager()

    class Meta:
        verbose_name = "member"
        constraints = [
            models.UniqueConstraint(fields=["user", "target"], name="membership_unique"),
            models.CheckConstraint(
                condition=~Q(kind="ORGANIZATION") | Q(target=models.F("organization")), name="membership_of_organization_targets_it"
            ),
            models.CheckConstraint(condition=Q(kind="ORGANIZATION") | ~Q(role="PARTNER"), name="membership_raises"),
        ]
        indexes = [models.Index(fields=["target"], name="membership_target")]

    def __str__(self) -> str:
        return f"{self.role} on {self.kind} {self.target}"
