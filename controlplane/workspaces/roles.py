"""The one role table: who may do what. Pure data, read by the checks, the API and the pages."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """Everything that can be allowed."""

    NAMESPACE_READ = "namespace.read"
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
    MEMBER_READ = "member.read"
    MEMBER_MANAGE = "member.manage"


class Role(StrEnum):
    """Roles, the weakest first."""

    PARTNER = "PARTNER"
    MEMBER = "MEMBER"
    MANAGER = "MANAGER"
    OWNER = "OWNER"


READING = frozenset(
    {
        Permission.NAMESPACE_READ,
        Permission.PROJECT_READ,
        Permission.WORKFLOW_READ,
        Permission.DEPLOYMENT_READ,
        Permission.MEMBER_READ,
    }
)
USING = frozenset({Permission.ENDPOINT_CONSUME, Permission.STORAGE_USE})
MANAGING = frozenset(
    {
        Permission.PROJECT_CREATE,
        Permission.PROJECT_EDIT,
        Permission.PROJECT_DELETE,
        Permission.WORKFLOW_PUSH,
        Permission.WORKFLOW_DELETE,
        Permission.DEPLOYMENT_CREATE,
        Permission.DEPLOYMENT_EDIT,
        Permission.DEPLOYMENT_DELETE,
    }
)

ROLE_TABLE: dict[Role, frozenset[Permission]] = {
    Role.PARTNER: frozenset(),
    Role.MEMBER: READING | USING,
    Role.MANAGER: READING | USING | MANAGING,
    Role.OWNER: READING | USING | MANAGING | {Permission.MEMBER_MANAGE},
}

# What anyone with an account may do with something public.
PUBLIC_PERMISSIONS = frozenset({Permission.NAMESPACE_READ, Permission.PROJECT_READ, Permission.WORKFLOW_READ})
