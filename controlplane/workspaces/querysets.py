"""Querysets of workspaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from controlplane.accounts.models import User


class NamespaceQuerySet(models.QuerySet[Any]):
    """Namespaces, narrowed."""

    def visible_to(self, actor: User) -> NamespaceQuerySet:
        """Keep the actor's own namespaces and the public ones."""
        return self.filter(Q(owner=actor) | Q(visibility="PUBLIC"))
