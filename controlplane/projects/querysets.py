"""Querysets of projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from controlplane.accounts.models import User


class ProjectQuerySet(models.QuerySet[Any]):
    """Projects, narrowed."""

    def visible_to(self, actor: User) -> ProjectQuerySet:
        """Keep projects of the actor's namespaces and public ones."""
        return self.filter(Q(namespace__owner=actor) | Q(visibility="PUBLIC"))


class WorkflowQuerySet(models.QuerySet[Any]):
    """Workflows, narrowed."""

    def visible_to(self, actor: User) -> WorkflowQuerySet:
        """Keep workflows of projects that the actor sees."""
        return self.filter(Q(project__namespace__owner=actor) | Q(project__visibility="PUBLIC"))


class WorkflowVersionQuerySet(models.QuerySet[Any]):
    """Versions, narrowed."""

    def visible_to(self, actor: User) -> WorkflowVersionQuerySet:
        """Keep versions of workflows that the actor sees."""
        return self.filter(Q(workflow__project__namespace__owner=actor) | Q(workflow__project__visibility="PUBLIC"))
