"""Whose credits they are, and how they stand."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from controlplane.common.models import BaseModel


class Funding(models.TextChoices):
    """How a workspace stands: it can pay; only what is reserved is left; that time is over too."""

    FUNDED = "FUNDED"
    GRACE = "GRACE"
    EXHAUSTED = "EXHAUSTED"


class Wallet(BaseModel):
    """The credits of a workspace: a person's (`workspace_id` is the user's id) or an organization's. Never deleted: entries refer to it.

    Whoever spends, grants or holds takes this row's lock first (FOR NO KEY UPDATE, several in the order of their ids).
    `funding` and `told_percent` are written by billing/funding.py alone: `reference` is what was available after the last credits came in (micro-
    credits), `told_percent` the smallest share of it whose mail was sent, `grace_until` the end of the time that instances have after the end of
    the credits.
    """

    workspace_id = models.UUIDField(unique=True)
    is_personal = models.BooleanField()
    funding = models.CharField(max_length=10, choices=Funding, default=Funding.FUNDED)
    funding_since = models.DateTimeField(null=True)
    grace_until = models.DateTimeField(null=True)
    reference = models.BigIntegerField(default=0)
    told_percent = models.PositiveSmallIntegerField(default=100)
    stripe_customer_id = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - unique where there is one

    class Meta:
        verbose_name = "wallet"
        constraints = [models.CheckConstraint(condition=Q(funding__in=Funding.values), name="wallet_funding_known")]
        indexes = [
            models.Index(fields=["grace_until"], name="wallet_in_grace", condition=Q(funding="GRACE")),
        ]

    def __str__(self) -> str:
        return f"wallet of {self.workspace_id} ({self.funding})"


class FundingChange(BaseModel):
    """Word for the room above that a workspace (or one deployment, by a cap) can pay no more, or again. Written in the transaction of the change."""

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = "funding change"
