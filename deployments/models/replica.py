"""Running copies of deployments at their providers."""

from __future__ import annotations

from django.db import models

from controlplane.common.models import BaseModel
from controlplane.projects.models import WorkflowVersion
from deployments.models.deployment import Deployment
from deployments.querysets import ReplicaQuerySet
from deployments.states import ReplicaStatus


class Replica(BaseModel):
    """A running copy of one revision of a deployment at its provider. The name is stored before the provider is asked for it.

    `begun_at`: since when the provider has had a chance to start it; `ready_at`: when it was first seen healthy. `billed_from` and
    `billed_until` are what the provider says of its own clock; nothing else is charged. `missing_since`: the provider does not list a
    replica that it had, which may be its own delay. `stuck_since`: it was to go and did not, long after it should have. `failure` tells why
    it was given up.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="replicas")
    version = models.ForeignKey(WorkflowVersion, on_delete=models.PROTECT, null=True, related_name="+")
    name = models.CharField(max_length=63, unique=True)
    generation = models.PositiveIntegerField()
    revision = models.PositiveIntegerField(default=1)
    ordinal = models.PositiveIntegerField(default=1)
    backend = models.CharField(max_length=20)
    bundle = models.CharField(max_length=64)
    size = models.CharField(max_length=4)
    status = models.CharField(max_length=12, choices=ReplicaStatus, default=ReplicaStatus.STARTING)
    address = models.CharField(max_length=300, blank=True, default="")
    workers = models.PositiveIntegerField(default=0)
    isolation = models.JSONField(default=dict)
    begun_at = models.DateTimeField(null=True)
    ready_at = models.DateTimeField(null=True)
    drain_from = models.DateTimeField(null=True)
    terminating_since = models.DateTimeField(null=True)
    missing_since = models.DateTimeField(null=True)
    stuck_since = models.DateTimeField(null=True)
    terminated_at = models.DateTimeField(null=True)
    billed_from = models.DateTimeField(null=True)
    billed_until = models.DateTimeField(null=True)
    failure = models.TextField(blank=True, default="")
    log_cursor = models.CharField(max_length=60, blank=True, default="")
    log_complete = models.BooleanField(default=False)

    objects = ReplicaQuerySet.as_manager()

    class Meta:
        verbose_name = "replica"
        constraints = [models.UniqueConstraint(fields=["deployment", "revision", "ordinal"], name="replica_ordinal_unique")]
        indexes = [
            models.Index(fields=["log_complete"], name="replica_with_logs", condition=models.Q(log_complete=False)),
            models.Index(fields=["backend"], name="replica_live", condition=~models.Q(status="TERMINATED")),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"
