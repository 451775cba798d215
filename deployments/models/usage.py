"""Runs that were counted, and their sums."""

from __future__ import annotations

from django.db import models

from deployments.models.deployment import Deployment
from deployments.querysets import DeploymentRowQuerySet


class UsageEvent(models.Model):
    """One run, counted and priced once: the run's id is the key, so a repeated report changes nothing. Never changed afterwards.

    `revision`: the number of the deployment's revision that ran it, None where the gateway did not tell. `fault`: it failed by the fault of
    the workflow or of the service (a crash, a time-out, an error of the engine), not by its input. The table is partitioned by month of `run`
    (deployments/usage_partitions.py).
    """

    run = models.UUIDField(primary_key=True)
    # No database constraint: a report must be kept whatever became of the rows that it names.
    deployment = models.ForeignKey(
        Deployment, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="usage_events"
    )
    workflow_id = models.UUIDField()
    project_id = models.UUIDField()
    namespace_id = models.UUIDField()
    product = models.CharField(max_length=60)
    state = models.CharField(max_length=10)
    duration_ms = models.PositiveBigIntegerField()
    ended_at = models.DateTimeField()
    micro_credits = models.PositiveBigIntegerField()
    revision = models.PositiveIntegerField(null=True)
    fault = models.BooleanField(default=False, db_default=False)

    objects = DeploymentRowQuerySet.as_manager()

    class Meta:
        verbose_name = "usage event"
        indexes = [models.Index(fields=["deployment", "ended_at"], name="usage_of_deployment")]

    def __str__(self) -> str:
        return f"{self.run} {self.product} {self.duration_ms} ms"


class UsageGrain(models.TextChoices):
    """How long the time of a sum is. All begin at full minutes, hours and days of UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class UsageBucket(models.Model):
    """The sums of a deployment's runs by product and time. Written with the events, in their transaction: always equal to what they add up to."""

    pk = models.CompositePrimaryKey("deployment_id", "grain", "start", "product", "project_id", "namespace_id")
    deployment = models.ForeignKey(
        Deployment, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="usage_buckets"
    )
    grain = models.CharField(max_length=6, choices=UsageGrain)
    start = models.DateTimeField()
    product = models.CharField(max_length=60)
    project_id = models.UUIDField()
    namespace_id = models.UUIDField()
    hits = models.PositiveBigIntegerField()
    failures = models.PositiveBigIntegerField()
    duration_ms = models.PositiveBigIntegerField()
    micro_credits = models.PositiveBigIntegerField()

    objects = DeploymentRowQuerySet.as_manager()

    class Meta:
        verbose_name = "usage bucket"
        indexes = [
            models.Index(fields=["project_id", "grain", "start"], name="usage_of_project"),
            models.Index(fields=["namespace_id", "grain", "start"], name="usage_of_namespace"),
        ]

    def __str__(self) -> str:
        return f"{self.grain} {self.start} {self.product} {self.hits}"
