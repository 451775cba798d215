"""What tests need to exist: users with workspaces, projects, workflows."""

from __future__ import annotations

import io
import itertools
from typing import Any

from controlplane.accounts.models import User
from controlplane.accounts.services import create_token, sign_up
from controlplane.common.ids import uuid7
from controlplane.common.objectstore import object_store
from controlplane.projects.archive import check_archive, pack_folder
from controlplane.projects.examples_catalogue import EXAMPLES
from controlplane.projects.models import Project, Workflow
from controlplane.projects.services import add_version
from controlplane.workspaces.models import Membership, Organization
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_organization

PASSWORD = "a long walk by the quay"
COUNTER = itertools.count(1)


def make_user(username: str | None = None) -> User:
    """Sign up a user, with the personal namespace and the first project that this brings."""
    name = username or f"user{next(COUNTER)}"
    return sign_up(username=name, email=f"{name}@example.com", password=PASSWORD)


def make_token(user: User, **ttl: Any) -> str:
    """Return a clear token of the user."""
    from datetime import timedelta

    return create_token(user=user, name="test", ttl=timedelta(**(ttl or {"hours": 1})))[1]


def make_project(user: User, name: str = "quay", **fields: Any) -> Project:
    """Create a project in the user's personal namespace."""
    return Project.objects.create(namespace=user.namespaces.get(parent=None), name=name, **fields)


def make_organization(owner: User, name: str | None = None, **fields: Any) -> Organization:
    """Create an organization with an owner."""
    return create_organization(actor=owner, name=name or f"organization{next(COUNTER)}", **fields)


def make_member(organization: Organization, role: Role, user: User | None = None) -> User:
    """Return a user who has this role on an organization."""
    user = user or make_user()
    Membership.objects.create(organization=organization, user=user, kind="ORGANIZATION", target=organization.pk, role=role)
    return user


def make_shared_project(organization: Organization, name: str = "quay", visibility: str = "TEAM", **fields: Any) -> Project:
    """Create a project in an organization."""
    return Project.objects.create(namespace=organization.namespaces.get(parent=None), name=name, visibility=visibility, **fields)


def make_workflow(project: Project, example: str = "blur", *, stored: bool = False, user: User | None = None) -> Workflow:
    """Push an example to a project; with `stored` its archive is really in the object store."""
    archive = pack_folder(EXAMPLES / example)
    checked = check_archive(io.BytesIO(archive))
    key = f"archives/{project.pk}/{uuid7()}.zip"
    if stored:
        object_store().put_bytes(key, archive)
    return add_version(project, checked, key, user or project.namespace.owner or make_user(), uuid7())
