"""What can be bought, and what things cost."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from billing.pricing import Unit as PriceUnit
from controlplane.common.models import BaseModel


class PlanInterval(models.TextChoices):
    """How often a plan is paid and gives credits."""

    ONCE = "ONCE", "once"
    MONTH = "MONTH", "every month"
    YEAR = "YEAR", "every year"


class Plan(BaseModel):
    """A plan, as data: operators change rows, new ones count from their next use.

    `credits` (micro-credits) are granted at each `interval` and valid for `validity_months` (0 = for ever); `hits` are serverless runs that are
    free, granted once. `price_cents` is in hundredths of `currency`. A quota of None is no limit. `infrastructures` are "PROVIDER FLAVOUR" pairs,
    or "*" alone for all. `rank` orders plans by what they allow: of those offered, the first that allows more is named where a quota ends.
    `calls_a_minute` limits the runs that all endpoints of the workspace accept. Only `offered` plans can be subscribed to by users.
    """

    code = models.CharField(max_length=40, unique=True)
    name = models.CharField(max_length=60)
    rank = models.PositiveSmallIntegerField()
    interval = models.CharField(max_length=5, choices=PlanInterval)
    price_cents = models.PositiveIntegerField(default=0)
    currency = models.CharField(max_length=3, default="EUR")
    credits = models.PositiveBigIntegerField(default=0)
    hits = models.PositiveIntegerField(default=0)
    validity_months = models.PositiveSmallIntegerField(default=0)
    personal = models.BooleanField(default=True)
    organizations = models.BooleanField(default=True)
    infrastructures = models.JSONField(default=list)
    max_projects = models.PositiveIntegerField(null=True)
    max_algorithms = models.PositiveIntegerField(null=True)
    max_workflows = models.PositiveIntegerField(null=True)
    max_deployments = models.PositiveIntegerField(null=True)
    storage_bytes = models.PositiveBigIntegerField(null=True)
    calls_a_minute = models.PositiveIntegerField(null=True)
    offered = models.BooleanField(default=True)
    unmetered = models.BooleanField(default=False)

    class Meta:
        verbose_name = "plan"
        constraints = [
            models.CheckConstraint(condition=Q(interval__in=PlanInterval.values), name="plan_interval_known"),
            models.CheckConstraint(condition=Q(offered=False) | Q(price_cents__gt=0), name="plan_offered_has_price"),
        ]

    def allows(self, infrastructure: str) -> bool:
        """Tell whether "PROVIDER FLAVOUR" is in the plan."""
        return "*" in self.infrastructures or infrastructure in self.infrastructures


class Price(models.Model):
    """What a product costs, in micro-credits for each unit. Never changed: another price is another row, and entries keep the one they had."""

    code = models.CharField(max_length=60)
    unit = models.CharField(max_length=2, choices=[(unit.value, unit.name.lower()) for unit in PriceUnit])
    micro_credits = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "price"
        constraints = [
            models.UniqueConstraint(fields=["code", "unit", "micro_credits"], name="price_unique"),
            models.CheckConstraint(condition=Q(micro_credits__gt=0), name="price_positive"),
            models.CheckConstraint(condition=Q(unit__in=[unit.value for unit in PriceUnit]), name="price_unit_known"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.micro_credits}/{self.unit}"
