"""What is metered: deployments as bills name them, instances with their time, and what is reserved for them."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Q

from billing.models.plan import Price
from billing.models.wallet import Wallet
from controlplane.common.models import BaseModel


class BilledDeployment(models.Model):
    """A deployment as bills name it: kept when it is deleted. `label` is the path of its workflow, `offer` "PROVIDER REGION FLAVOUR SIZE"."""

    deployment_id = models.UUIDField(primary_key=True)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="deployments")
    project_id = models.UUIDField(db_index=True)
    label = models.CharField(max_length=701)
    offer = models.CharField(max_length=60)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "billed deployment"

    def __str__(self) -> str:
        return self.label


class Hold(BaseModel):
    """Credits (micro-credits) that are kept for something that runs, or is about to: available is what the grants have left, less the open holds."""

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="holds", db_index=False)
    resource = models.CharField(max_length=80)
    deployment_id = models.UUIDField()
    amount = models.BigIntegerField()
    released_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "hold"
        constraints = [
            models.UniqueConstraint(fields=["resource"], condition=Q(released_at=None), name="hold_open_once"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="hold_positive"),
        ]
        indexes = [
            models.Index(fields=["wallet"], include=["amount"], name="hold_open_of_wallet", condition=Q(released_at=None)),
            models.Index(fields=["deployment_id"], name="hold_open_of_deployment", condition=Q(released_at=None)),
        ]


class MeteredResource(models.Model):
    """An instance whose time is charged: from its provider's confirmed start to its confirmed stop, in whole seconds.

    Not before it was of use once (`billable`), and not beyond `ending_at` (somebody or something asked for its end) until the stop is
    confirmed. One that failed or got stuck (`cut_off`) costs nothing from there on, whenever it stops. `billed_until` is how far it is charged;
    `closed_at` says that nothing more will be.
    """

    id = models.UUIDField(primary_key=True)
    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="resources", db_index=False)
    deployment_id = models.UUIDField()
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+", db_index=False)
    started_at = models.DateTimeField(null=True)
    billable = models.BooleanField(default=False)
    ending_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True)
    cut_off = models.BooleanField(default=False)
    billed_until = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "metered resource"
        indexes = [
            models.Index(fields=["wallet"], name="resource_to_meter", condition=Q(closed_at=None)),
            models.Index(fields=["deployment_id"], name="resource_open", condition=Q(closed_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.started_at} to {self.stopped_at}"


class BilledSpan(models.Model):
    """A span of a resource's time that was charged. The exclusion is the proof that no second is charged twice, whoever tries."""

    id = models.BigAutoField(primary_key=True)
    resource = models.ForeignKey(MeteredResource, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="spans")
    span = DateTimeRangeField()

    class Meta:
        verbose_name = "billed span"
        constraints = [
            ExclusionConstraint(
                name="billed_once",
                expressions=[("resource", RangeOperators.EQUAL), ("span", RangeOperators.OVERLAPS)],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.resource_id} {self.span}"
