"""What operators have to look at."""

from __future__ import annotations

from django.db import models

from controlplane.common.models import BaseModel


class AlertKind(models.TextChoices):
    """What went wrong."""

    STUCK_REPLICA = "STUCK_REPLICA"
    ORPHAN = "ORPHAN"
    OVERDUE = "OVERDUE"
    PROVIDER_SILENT = "PROVIDER_SILENT"
    USAGE_REFUSED = "USAGE_REFUSED"
    METER_SILENT = "METER_SILENT"
    STRIPE_EVENT_FAILS = "STRIPE_EVENT_FAILS"


class Alert(BaseModel):
    """Something that needs an operator, until it is cleared: by itself, or by hand. One for each kind and subject at a time."""

    kind = models.CharField(max_length=20, choices=AlertKind)
    subject = models.CharField(max_length=200)
    deployment_id = models.UUIDField(null=True)
    detail = models.TextField()
    mailed_at = models.DateTimeField(null=True)
    cleared_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "alert"
        constraints = [
            models.UniqueConstraint(fields=["kind", "subject"], condition=models.Q(cleared_at=None), name="alert_open_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
