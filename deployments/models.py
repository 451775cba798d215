"""Deployments, their replicas and bundles, and what they leave behind: status changes, log lines, usage."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from controlplane.accounts.models import User
from controlplane.common.ids import new_slug
from controlplane.common.models import BaseModel
from controlplane.projects.models import Workflow, WorkflowVersion
from deployments.offers import Offer, offer_of
from deployments.querysets import BundleQuerySet, DeploymentQuerySet, DeploymentRowQuerySet, ReplicaQuerySet
from deployments.states import DesiredState, ReplicaStatus, Status


class Deployment(BaseModel):
    """A workflow on an offer, at one URL for its life.

    Intent (`desired_state`, `wanted_version`, `size`; each change raises `generation`) is written by services. Everything below
    "status" is written by the reconciler alone, under its lease. A deleted one keeps its row without references to the workflow,
    so that usage can be explained and the workflow can be deleted.
    """

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, null=True, related_name="deployments")
    workflow_name = models.CharField(max_length=100)
    project_path = models.CharField(max_length=600)
    namespace_id = models.UUIDField()
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    slug = models.CharField(max_length=40, unique=True, default=new_slug, editable=False)
    provider = models.CharField(max_length=20)
    region = models.CharField(max_length=20)
    flavour = models.CharField(max_length=20)
    backend = models.CharField(max_length=20)

    desired_state = models.CharField(max_length=10, choices=DesiredState, default=DesiredState.RUNNING)
    wanted_version = models.ForeignKey(WorkflowVersion, on_delete=models.PROTECT, null=True, related_name="+")
    size = models.CharField(max_length=4)
    generation = models.PositiveIntegerField(default=1)

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    status_since = models.DateTimeField(default=timezone.now)
    reason_code = models.CharField(max_length=40, blank=True, default="")
    reason_detail = models.TextField(blank=True, default="")
    observed_generation = models.PositiveIntegerField(default=0)
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    next_check_at = models.DateTimeField(null=True, default=timezone.now)
    failed_attempts = models.PositiveIntegerField(default=0)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        verbose_name = "deployment"
        constraints = [
            models.CheckConstraint(condition=models.Q(status__in=Status.values), name="deployment_status_known"),
            models.CheckConstraint(
                condition=models.Q(lease_token=None, lease_expires_at=None)
                | models.Q(lease_token__isnull=False, lease_expires_at__isnull=False),
                name="deployment_lease_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["next_check_at"], name="deployment_due", condition=models.Q(next_check_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.region} {self.flavour} {self.size} ({self.status})"

    @property
    def path(self) -> str:
        """Return the path of the workflow, as it was when the deployment was made."""
        return f"{self.project_path}/{self.workflow_name}"

    @property
    def offer(self) -> Offer:
        """Return the wanted offer."""
        return offer_of(provider=self.provider, flavour=self.flavour, size=self.size)

    @property
    def endpoint(self) -> str:
        """Return the URL that callers use; it never changes."""
        return str(settings.ENDPOINT_URL_TEMPLATE).format(slug=self.slug)


class Bundle(BaseModel):
    """What a workflow version was built into: `bundles/<digest>.tar` in the object store, with the log of the last build.

    `digest` is the SHA-256 of the tar, "" after a failed build, whose reason then stands here. `algorithms` are the packages of the HUB that
    went into it: name, source, path, version, package, sha256.
    """

    version = models.OneToOneField(WorkflowVersion, on_delete=models.CASCADE, related_name="bundle")
    digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    size = models.PositiveBigIntegerField(default=0)
    log = models.JSONField(default=list)
    algorithms = models.JSONField(default=list)
    reason_code = models.CharField(max_length=40, blank=True, default="")
    reason_detail = models.TextField(blank=True, default="")

    objects = BundleQuerySet.as_manager()

    class Meta:
        verbose_name = "bundle"


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


class StatusChange(BaseModel):
    """One switch of a deployment's status, written in the transaction that made it."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="status_changes")
    before = models.CharField(max_length=10)
    after = models.CharField(max_length=10)
    generation = models.PositiveIntegerField()
    reason_code = models.CharField(max_length=40, blank=True, default="")
    reason_detail = models.TextField(blank=True, default="")

    objects = DeploymentRowQuerySet.as_manager()

    class Meta:
        verbose_name = "status change"

    def __str__(self) -> str:
        return f"{self.before} → {self.after}"


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
