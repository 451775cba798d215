"""Querysets of accounts."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from controlplane.accounts.models import User


class ApiTokenQuerySet(models.QuerySet[Any]):
    """Tokens, narrowed."""

    def visible_to(self, actor: User) -> ApiTokenQuerySet:
        """Keep the actor's own tokens: nobody else sees them, operators included. A narrow token sees itself and those that it made."""
        own = self.filter(user=actor)
        asking = actor.credential
        if asking is None or not asking.is_narrow:
            return own
        return own.filter(Q(pk=asking.pk) | Q(made_by=asking.pk))

    def valid_at(self, moment: datetime) -> ApiTokenQuerySet:
        """Keep tokens that open the door at `moment`."""
        return self.filter(Q(revoked_at=None), expires_at__gt=moment, user__is_active=True)
