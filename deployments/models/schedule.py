"""When deployments are switched on and off by themselves."""

from __future__ import annotations

from django.db import models

from controlplane.accounts.models import User
from controlplane.common.models import BaseModel
from deployments.models.deployment import Deployment
from deployments.querysets import DeploymentRowQuerySet


class ScheduleAction(models.TextChoices):
    """What happens at the times of a schedule."""

    PAUSE = "PAUSE"
    RESUME = "RESUME"


class Schedule(BaseModel):
    """At each time of `cron` (five fields, in `time_zone`) the deployment is paused or resumed. `next_at` is the next such time."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="schedules")
    action = models.CharField(max_length=6, choices=ScheduleAction)
    cron = models.CharField(max_length=100)
    time_zone = models.CharField(max_length=60)
    next_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = DeploymentRowQuerySet.as_manager()

    class Meta:
        verbose_name = "schedule"
        indexes = [models.Index(fields=["next_at"], name="schedule_due", condition=models.Q(next_at__isnull=False))]

    def __str__(self) -> str:
        return f"{self.action} {self.cron} {self.time_zone}"
