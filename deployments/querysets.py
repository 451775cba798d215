"""Querysets of deployments."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

from controlplane.projects.models import Workflow

if TYPE_CHECKING:
    from controlplane.accounts.models import User


class DeploymentQuerySet(models.QuerySet[Any]):
    """Deployments, narrowed."""

    def visible_to(self, actor: User) -> DeploymentQuerySet:
        """Keep deployments of workflows that the actor sees; deleted ones have no workflow any more and are seen by nobody."""
        return self.filter(workflow__in=Workflow.objects.visible_to(actor))

    def due(self, now: datetime) -> DeploymentQuerySet:
        """Keep what the reconciler should look at: due, and not leased by a worker that may still be alive."""
        return self.filter(next_check_at__lte=now).unleased(now)

    def unleased(self, now: datetime) -> DeploymentQuerySet:
        """Keep deployments that no live worker holds."""
        return self.filter(Q(lease_expires_at=None) | Q(lease_expires_at__lt=now))


class ReplicaQuerySet(models.QuerySet[Any]):
    """Replicas, narrowed."""

    def visible_to(self, actor: User) -> ReplicaQuerySet:
        """Keep replicas of deployments that the actor sees."""
        return self.filter(deployment__workflow__in=Workflow.objects.visible_to(actor))


class DeploymentRowQuerySet(models.QuerySet[Any]):
    """Rows that belong to a deployment (status changes, log lines, usage), narrowed."""

    def visible_to(self, actor: User) -> DeploymentRowQuerySet:
        """Keep rows of deployments that the actor sees."""
        return self.filter(deployment__workflow__in=Workflow.objects.visible_to(actor))


class BundleQuerySet(models.QuerySet[Any]):
    """Bundles, narrowed."""

    def visible_to(self, actor: User) -> BundleQuerySet:
        """Keep bundles of workflows that the actor sees."""
        return self.filter(version__workflow__in=Workflow.objects.visible_to(actor))
