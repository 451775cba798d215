"""Log lines, and the order that they have."""

from __future__ import annotations

from django.db import models

from deployments.models.deployment import Deployment
from deployments.querysets import DeploymentRowQuerySet


class LogHead(models.Model):
    """The time of a deployment's newest log line. Whoever appends holds this row, so lines have one order and no time twice."""

    deployment = models.OneToOneField(Deployment, on_delete=models.CASCADE, primary_key=True, related_name="log_head")
    last_ms = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.last_ms}"


class LogLine(models.Model):
    """A line that a build, a runtime or the agent wrote. `timestamp` is milliseconds since 1970, unique and rising in a deployment."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="log_lines")
    timestamp = models.BigIntegerField()
    level = models.CharField(max_length=10)
    source = models.CharField(max_length=10)
    message = models.TextField()
    run = models.UUIDField(null=True)
    duration_ms = models.FloatField(null=True)

    objects = DeploymentRowQuerySet.as_manager()

    class Meta:
        verbose_name = "log line"
        constraints = [models.UniqueConstraint(fields=["deployment", "timestamp"], name="log_line_time_unique")]

    def __str__(self) -> str:
        return f"{self.timestamp} {self.level} {self.message[:80]}"
