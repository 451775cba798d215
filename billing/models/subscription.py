"""Which plan a workspace is on."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from billing.models.plan import Plan
from billing.models.wallet import Wallet
from controlplane.common.models import BaseModel


class SubscriptionStatus(models.TextChoices):
    """ACTIVE gives credits; CANCELLING does until the period ends; PAST_DUE waits for a payment; ENDED is over."""

    ACTIVE = "ACTIVE"
    CANCELLING = "CANCELLING"
    PAST_DUE = "PAST_DUE"
    ENDED = "ENDED"


class Subscription(BaseModel):
    """A wallet's plan; at most one is not ENDED. Periods are counted from `anchor`, never from the period before.

    With `stripe_id` Stripe decides when a period is paid; without one (the free plan, or what an operator assigned) each period begins by itself.
    `granted_until`: the end of the last period whose credits were granted.
    """

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    status = models.CharField(max_length=10, choices=SubscriptionStatus, default=SubscriptionStatus.ACTIVE)
    anchor = models.DateTimeField()
    granted_until = models.DateTimeField(null=True)
    current_period_end = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    stripe_id = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - unique where there is one

    class Meta:
        verbose_name = "subscription"
        constraints = [
            models.UniqueConstraint(fields=["wallet"], condition=~Q(status="ENDED"), name="subscription_live_once"),
            models.CheckConstraint(condition=Q(status__in=SubscriptionStatus.values), name="subscription_status_known"),
        ]
        indexes = [
            models.Index(fields=["granted_until"], name="subscription_to_renew", condition=~Q(status="ENDED") & Q(stripe_id=None)),
        ]

    def __str__(self) -> str:
        return f"{self.plan_id} ({self.status})"
