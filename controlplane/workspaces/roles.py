"""The one role table: who may do what. Pure data and pure rules, read by the checks, the API, the documentation and the pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from controlplane.accounts.scopes import Scope


class Permission(StrEnum):
    """Everything that can be allowed."""

    ORGANIZATION_READ = "organization.read"
    ORGANIZATION_EDIT = "organization.edit"
    ORGANIZATION_DELETE = "organization.delete"
    NAMESPACE_READ = "namespace.read"
    NAMESPACE_CREATE = "namespace.create"
    NAMESPACE_EDIT = "namespace.edit"
    NAMESPACE_DELETE = "namespace.delete"
    MEMBER_READ = "member.read"
    MEMBER_MANAGE = "member.manage"
    PROJECT_READ = "project.read"
    PROJECT_CREATE = "project.create"
    PROJECT_EDIT = "project.edit"
    PROJECT_DELETE = "project.delete"
    WORKFLOW_READ = "workflow.read"
    WORKFLOW_PUSH = "workflow.push"
    WORKFLOW_DELETE = "workflow.delete"
    DEPLOYMENT_READ = "deployment.read"
    DEPLOYMENT_CREATE = "deployment.create"
    DEPLOYMENT_EDIT = "deployment.edit"
    DEPLOYMENT_DELETE = "deployment.delete"
    ENDPOINT_CONSUME = "endpoint.consume"
    STORAGE_USE = "storage.use"
    ALGORITHM_READ = "algorithm.read"
    ALGORITHM_CREATE = "algorithm.create"
    ALGORITHM_EDIT = "algorithm.edit"
    ALGORITHM_DELETE = "algorithm.delete"
    ALGORITHM_PUBLISH = "algorithm.publish"
    WEBHOOK_READ = "webhook.read"
    WEBHOOK_MANAGE = "webhook.manage"
    AUDIT_READ = "audit.read"
    BILLING_READ = "billing.read"
    BILLING_MANAGE = "billing.manage"

    @property
    def scope(self) -> Scope:
        """Return what an API token needs for it."""
        if self in DEPLOYING:
            return Scope.DEPLOY
        if self.value.endswith(".read"):
            return Scope.ADMIN if self in CONFIDING else Scope.READ
        return {Permission.ENDPOINT_CONSUME: Scope.CONSUME, Permission.STORAGE_USE: Scope.STORAGE}.get(self, Scope.ADMIN)


class Role(StrEnum):
    """Roles, the weakest first."""

    PARTNER = "PARTNER"
    MEMBER = "MEMBER"
    MANAGER = "MANAGER"
    OWNER = "OWNER"

    @property
    def rank(self) -> int:
        """Return the place in the order of strength, 0 for the weakest."""
        return list(Role).index(self)


VIEWING = frozenset(
    {
        Permission.ORGANIZATION_READ,
        Permission.NAMESPACE_READ,
        Permission.PROJECT_READ,
        Permission.WORKFLOW_READ,
        Permission.DEPLOYMENT_READ,
        Permission.ALGORITHM_READ,
        Permission.MEMBER_READ,
    }
)
USING = frozenset({Permission.ENDPOINT_CONSUME, Permission.STORAGE_USE})
PROJECTS = frozenset({Permission.PROJECT_CREATE, Permission.PROJECT_EDIT, Permission.PROJECT_DELETE})
NAMESPACES = frozenset({Permission.NAMESPACE_CREATE, Permission.NAMESPACE_EDIT, Permission.NAMESPACE_DELETE})
WORKFLOWS = frozenset({Permission.WORKFLOW_PUSH, Permission.WORKFLOW_DELETE})
DEPLOYMENTS = frozenset({Permission.DEPLOYMENT_CREATE, Permission.DEPLOYMENT_EDIT, Permission.DEPLOYMENT_DELETE})
ALGORITHMS = frozenset({Permission.ALGORITHM_CREATE, Permission.ALGORITHM_EDIT, Permission.ALGORITHM_DELETE, Permission.ALGORITHM_PUBLISH})
WEBHOOKS = frozenset({Permission.WEBHOOK_READ, Permission.WEBHOOK_MANAGE})
MEMBERS = frozenset({Permission.MEMBER_MANAGE})
BILLING = frozenset({Permission.BILLING_READ})
PAYING = frozenset({Permission.BILLING_MANAGE})
ORGANIZATION = frozenset({Permission.ORGANIZATION_EDIT, Permission.ORGANIZATION_DELETE, Permission.AUDIT_READ})
DEPLOYING = WORKFLOWS | DEPLOYMENTS | {Permission.ALGORITHM_CREATE, Permission.ALGORITHM_EDIT}
# Reading that takes a token for administration: addresses of receivers often hold a secret of theirs.
CONFIDING = frozenset({Permission.AUDIT_READ, Permission.WEBHOOK_READ})

# The rows of the displayed matrix; each permission stands in exactly one.
ROWS: tuple[tuple[str, frozenset[Permission]], ...] = (
    ("View projects, workflows, deployments, algorithms and members", VIEWING),
    ("Call deployments and use the storage of projects", USING),
    ("Create, change and delete projects", PROJECTS),
    ("Create, change and delete sub-namespaces", NAMESPACES),
    ("Push and delete workflows", WORKFLOWS),
    ("Create, change and delete deployments", DEPLOYMENTS),
    ("Add, change, delete and publish algorithms", ALGORITHMS),
    ("Read, add, change and delete webhooks of projects", WEBHOOKS),
    ("See balance, charges, quotas and spend caps", BILLING),
    ("Manage members", MEMBERS),
    ("Change the plan, pay, and set spend caps", PAYING),
    ("Change and delete the organization, read its audit log", ORGANIZATION),
)
MANAGING = PROJECTS | NAMESPACES | WORKFLOWS | DEPLOYMENTS | ALGORITHMS | WEBHOOKS | BILLING

ROLE_TABLE: dict[Role, frozenset[Permission]] = {
    Role.PARTNER: frozenset(),
    Role.MEMBER: VIEWING | USING,
    Role.MANAGER: VIEWING | USING | MANAGING,
    Role.OWNER: VIEWING | USING | MANAGING | MEMBERS | PAYING | ORGANIZATION,
}

# What anyone with an account may do with something public.
PUBLIC_PERMISSIONS = frozenset(
    {
        Permission.ORGANIZATION_READ,
        Permission.NAMESPACE_READ,
        Permission.PROJECT_READ,
        Permission.WORKFLOW_READ,
        Permission.ALGORITHM_READ,
    }
)


@dataclass(frozen=True, slots=True)
class Standing:
    """A role and where it comes from: the path of what it was given on."""

    role: Role
    source: str


@dataclass(frozen=True, slots=True)
class Level:
    """One step on the way from an organization down to something in it."""

    id: UUID
    path: str
    private: bool


def stronger(first: Role | None, second: Role | None) -> Role | None:
    """Return the stronger of two roles."""
    return max((role for role in (first, second) if role is not None), key=lambda role: role.rank, default=None)


def inherited(role: Role | None, *, private: bool) -> Role | None:
    """Return what is left of a role one level further down: to what is private only managers and owners keep theirs."""
    if role is not None and private and role.rank < Role.MANAGER.rank:
        return Role.PARTNER
    return role


def descend(levels: Iterable[Level], given: Mapping[UUID, Role]) -> Standing | None:
    """Return the standing at the last level; the first one is the organization, without a role on which there is none further down."""
    standing: Standing | None = None
    for index, level in enumerate(levels):
        own = given.get(level.id)
        if index and standing is None:
            return None
        role = inherited(standing.role if standing else None, private=level.private)
        if own is not None and (role is None or own.rank > role.rank):
            standing = Standing(own, level.path)
        elif standing is not None and role is not None:
            standing = Standing(role, standing.source)
    return standing


def may_give(giver: Role | None, role: Role) -> bool:
    """Tell whether someone with this role may give that one: who manages members gives at most what they are."""
    return giver is not None and Permission.MEMBER_MANAGE in ROLE_TABLE[giver] and role.rank <= giver.rank
