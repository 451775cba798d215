"""Log lines, and the order that they have."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from deployments.models.deployment import Deployment
from deployments.querysets import DeploymentRowQuerySet


class LogHead(models.Model):
    """The time of a deployment's newest log line. Whoever appends holds this row, so lines have one order and no time twice.

    `minute` (of the Unix clock), `minute_lines` and `minute_bytes` count what replicas wrote, `skipped_lines` what went beyond the limit.
    """

    deployment = models.OneToOneField(Deployment, on_delete=models.CASCADE, primary_key=True, related_name="log_head")
    last_ms = models.BigIntegerField(default=0)
    minute = models.BigIntegerField(default=0, db_default=0)
    minute_lines = models.BigIntegerField(default=0, db_default=0)
    minute_bytes = models.BigIntegerField(default=0, db_default=0)
    skipped_lines = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        indexes = [models.Index(fields=["minute"], name="log_head_skipping", condition=Q(skipped_lines__gt=0))]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.last_ms}"


class LogLine(models.Model):
    """A line that a build, a runtime or the agent wrote. `timestamp` is milliseconds since 1970, unique and rising in a deployment.

    The table is partitioned by day of `timestamp` (deployments/partitions.py), hence the key and a relation without a constraint: to drop
    a partition must lock nothing else.
    """

    pk = models.CompositePrimaryKey("deployment_id", "timestamp")
    deployment = models.ForeignKey(Deployment, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="log_lines")
    timestamp = models.BigIntegerField()
    level = models.CharField(max_length=10)
    source = models.CharField(max_length=10)
    message = models.TextField()
    run = models.UUIDField(null=True)
    duration_ms = models.FloatField(null=True)

    objects = DeploymentRowQuerySet.as_manager()

    class Meta:
        verbose_name = "log line"
        db_table = "deployments_log"
        indexes = [
            models.Index(fields=["deployment", "timestamp"], name="log_not_info", condition=~Q(level="INFO")),
            models.Index(fields=["deployment", "timestamp"], name="log_of_build", condition=Q(source="build")),
            models.Index(fields=["deployment", "run", "timestamp"], name="log_of_run", condition=Q(run__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.timestamp} {self.level} {self.message[:80]}"
