"""Querysets of webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models

from controlplane.workspaces.querysets import PROJECT, within_reach

if TYPE_CHECKING:
    from controlplane.accounts.models import User


class WebhookQuerySet(models.QuerySet[Any]):
    """Webhooks, narrowed."""

    def visible_to(self, actor: User) -> WebhookQuerySet:
        """Keep webhooks of projects that the actor has a role on: that a project is public says nothing about its receivers."""
        return self.filter(within_reach(actor, PROJECT, at="project__", public=False))


class DeliveryQuerySet(models.QuerySet[Any]):
    """Deliveries, narrowed."""

    def visible_to(self, actor: User) -> DeliveryQuerySet:
        """Keep deliveries of webhooks that the actor sees."""
        return self.filter(within_reach(actor, PROJECT, at="webhook__project__", public=False))

    def due(self, now: datetime) -> DeliveryQuerySet:
        """Keep what is to be sent now, also what a worker took and never finished."""
        return self.filter(state="PENDING", next_attempt_at__lte=now)

    def under_way(self, now: datetime) -> DeliveryQuerySet:
        """Keep what a worker has taken and still may finish."""
        return self.filter(state="PENDING", lease_token__isnull=False, next_attempt_at__gt=now)
