"""Runs that were counted."""

from __future__ import annotations

from django.db import models

from deployments.models.deployment import Deployment
from deployments.querysets import DeploymentRowQuerySet


class UsageEvent(models.Model):
    """One run, counted and priced once: the run's id is the key, so a repeated report changes nothing. Never changed afterwards."""

    run = models.UUIDField(primary_key=True)
    # No database constraint: a report must be kept whatever became of the rows that it names.
    deployment = models.ForeignKey(Deployment, on_delete=models.DO_NOTHING, db_constraint=False, related_name="usage_events")
    workflow_id = models.UUIDField()
    project_id = models.UUIDField()
    namespace_id = models.UUIDField()
    product = models.CharField(max_length=60)
    state = models.CharField(max_length=10)
    duration_ms = models.PositiveBigIntegerField()
    ended_at = models.DateTimeField()
    micro_credits = models.PositiveBigIntegerField()

    objects = DeploymentRowQuerySet.as_manager()

    class Meta:
        verbose_name = "usage event"
        indexes = [models.Index(fields=["deployment", "ended_at"], name="usage_of_deployment")]

    def __str__(self) -> str:
        return f"{self.run} {self.product} {self.duration_ms} ms"
