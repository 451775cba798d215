"""Running copies of deployments at their providers."""

from __future__ import annotations

from django.db import models

from controlplane.common.models import BaseModel
from controlplane.projects.models import WorkflowVersion
from deployments.models.deployment import Deployment
from deployments.querysets import ReplicaQuerySet
from deployments.states import ReplicaStatus


class Replica(BaseModel):
    """A running copy of one generation of a deployment at its provider. The name is stored before the provider is asked for it."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="replicas")
    version = models.ForeignKey(WorkflowVersion, on_delete=models.PROTECT, null=True, related_name="+")
    name = models.CharField(max_length=63, unique=True)
    generation = models.PositiveIntegerField()
    backend = models.CharField(max_length=20)
    bundle = models.CharField(max_length=64)
    size = models.CharField(max_length=4)
    status = models.CharField(max_length=12, choices=ReplicaStatus, default=ReplicaStatus.STARTING)
    address = models.CharField(max_length=300, blank=True, default="")
    workers = models.PositiveIntegerField(default=0)
    isolation = models.JSONField(default=dict)
    ready_at = models.DateTimeField(null=True)
    drain_from = models.DateTimeField(null=True)
    terminated_at = models.DateTimeField(null=True)
    log_cursor = models.CharField(max_length=60, blank=True, default="")
    log_complete = models.BooleanField(default=False)

    objects = ReplicaQuerySet.as_manager()

    class Meta:
        verbose_name = "replica"
        constraints = [models.UniqueConstraint(fields=["deployment", "generation"], name="replica_generation_unique")]
        indexes = [models.Index(fields=["log_complete"], name="replica_with_logs", condition=models.Q(log_complete=False))]

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"
