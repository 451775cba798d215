"""What projects do when something happens elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.dispatch import receiver

from controlplane.accounts.models import User
from controlplane.accounts.revocations import revoke_endpoint_access
from controlplane.accounts.signals import token_bound, user_signed_up
from controlplane.projects.models import Project
from controlplane.projects.services import create_getting_started, visible_project
from controlplane.workspaces.models import Organization
from controlplane.workspaces.signals import access_lowered


@receiver(user_signed_up, dispatch_uid="projects.getting_started")
def give_getting_started(user: User, **_: Any) -> None:
    """Give a new user their first project, in the transaction of the sign-up (workspaces listens before: apps are in order)."""
    create_getting_started(user=user)


@receiver(token_bound, dispatch_uid="projects.token_bound")
def check_bound_project(user: User, project_id: UUID, **_: Any) -> None:
    """Refuse to bind a token to a project that its user does not see. Raises `NotFound`."""
    visible_project(user, project_id)


@receiver(access_lowered, dispatch_uid="projects.access_lowered")
def take_back_endpoint_tokens(organization: Organization, users: Iterable[UUID], path: str, **_: Any) -> None:
    """Void the endpoint tokens of these people for all projects at this path or below that they may use no longer."""
    rows = Project.objects.filter(namespace__organization=organization).select_related("namespace")
    projects = {project.pk for project in rows if f"{project.path}/".startswith(f"{path}/")}
    for user in User.objects.filter(pk__in=users):
        lost = projects - set(Project.objects.usable_by(user).filter(pk__in=projects).values_list("pk", flat=True))
        if lost:
            revoke_endpoint_access(user_id=user.pk, project_ids=lost)
