"""Projects as operators name them."""

from __future__ import annotations

from uuid import UUID

from django.core.management.base import CommandError

from controlplane.projects.models import Project


def named_project(text: str) -> Project:
    """Return the project with this id or path (`team/quay`). Raises `CommandError`."""
    rows = Project.objects.select_related("namespace")
    try:
        found = rows.filter(pk=UUID(text)).first()
    except ValueError:
        namespace, _, name = text.strip("/").rpartition("/")
        found = rows.filter(namespace__path=namespace, name=name).first()
    if not isinstance(found, Project):
        raise CommandError(f"There is no project '{text}'. Give its id, or its path such as team/quay.")
    return found
