"""Namespaces: what owns projects, and the first part of their paths."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower

from controlplane.accounts.models import User
from controlplane.common.models import BaseModel
from controlplane.workspaces.querysets import NamespaceQuerySet


class Visibility(models.TextChoices):
    """Who sees an object: everyone with an account, the members of its workspace, or those with a role on it."""

    PUBLIC = "PUBLIC", "Public"
    TEAM = "TEAM", "Team"
    PRIVATE = "PRIVATE", "Private"


class Namespace(BaseModel):
    """A personal workspace (the user's name is its path)."""

    name = models.CharField(max_length=100)
    path = models.CharField(max_length=400)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="namespaces")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    visibility = models.CharField(max_length=10, choices=Visibility, default=Visibility.PRIVATE)

    objects = NamespaceQuerySet.as_manager()

    class Meta:
        verbose_name = "namespace"
        constraints = [models.UniqueConstraint(Lower("path"), name="namespace_path_unique")]
