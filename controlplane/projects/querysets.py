"""Querysets of projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

from controlplane.workspaces.querysets import PROJECT, within_reach

if TYPE_CHECKING:
    from controlplane.accounts.models import User


class ProjectQuerySet(models.QuerySet[Any]):
    """Projects, narrowed."""

    def visible_to(self, actor: User) -> ProjectQuerySet:
        """Keep the actor's own projects, those that a role leads to, and public ones."""
        return self.filter(within_reach(actor, PROJECT))

    def usable_by(self, actor: User) -> ProjectQuerySet:
        """Keep projects that the actor has a role on, which is what calling their endpoints takes."""
        return self.filter(within_reach(actor, PROJECT, public=False))


class WorkflowQuerySet(models.QuerySet[Any]):
    """Workflows, narrowed."""

    def visible_to(self, actor: User) -> WorkflowQuerySet:
        """Keep workflows of projects that the actor sees."""
        return self.filter(within_reach(actor, PROJECT, at="project__"))


class WorkflowVersionQuerySet(models.QuerySet[Any]):
    """Versions, narrowed."""

    def visible_to(self, actor: User) -> WorkflowVersionQuerySet:
        """Keep versions of workflows that the actor sees."""
        return self.filter(within_reach(actor, PROJECT, at="workflow__project__"))
