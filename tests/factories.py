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
    return Project.objects.create(namespace=user.namespaces.get(), name=name, **fields)


def make_workflow(project: Project, example: str = "blur", *, stored: bool = False) -> Workflow:
    """Push an example to a project; with `stored` its archive is really in the object store."""
    archive = pack_folder(EXAMPLES / example)
    checked = check_archive(io.BytesIO(archive))
    key = f"archives/{project.pk}/{uuid7()}.zip"
    if stored:
        object_store().put_bytes(key, archive)
    return add_version(project, checked, key, project.namespace.owner, uuid7())
