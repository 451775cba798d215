"""What a person sees of what belongs to a wallet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from controlplane.accounts.models import User


class SpendCapQuerySet(models.QuerySet[Any]):
    """Spend caps."""

    def visible_to(self, actor: User) -> SpendCapQuerySet:
        """Return those of the workspaces that the actor sees; what they may do with them is another question."""
        seen = apps.get_model("workspaces", "Namespace").objects.visible_to(actor)
        organizations = seen.filter(organization__isnull=False).values("organization")
        people = seen.filter(owner__isnull=False).values("owner")
        return self.filter(Q(wallet__workspace_id__in=organizations) | Q(wallet__workspace_id__in=people))
