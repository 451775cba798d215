"""Deployments, their revisions, and the changes of their status."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from billing.pricing import Unit
from controlplane.accounts.models import User
from controlplane.common.ids import new_slug
from controlplane.common.models import BaseModel
from controlplane.projects.models import Workflow, WorkflowVersion
from deployments.offers import Offer, offer_of
from deployments.querysets import DeploymentQuerySet, DeploymentRowQuerySet
from deployments.states import DesiredState, Status

MOST_REPLICAS = 10


class Deployment(BaseModel):
    """A workflow on an offer, at one URL for its life.

    Intent (each change raises `generation`) is written by services: what is wanted (`desired_state`), the wanted `revision` with its version
    and size, and how many replicas there may be. Everything below "status" is written by the reconciler alone, under its lease:
    `served_revision` took the traffic last (0 = none yet), `watch_from` and `watch_until` are the time in which it is watched for faults.
    `stop_code` is what billing says (deployments/funding.py writes it): NO_CREDITS or SPEND_CAP, "" while it may run.
    `wanted_replicas` follows the demand within the limits, since `scaled_at`. `failed_attempts` counts what had to be waited for, `faults` the looks
    in a row that ended in an error that nobody foresaw. A deleted one keeps its row without references to the workflow,
    so that usage can be explained and the workflow can be deleted.
    """

    workflow = models.ForeignKey(Workflow, on_delete=models.PROTECT, null=True, related_name="deployments")
    workflow_name = models.CharField(max_length=100)
    project_path = models.CharField(max_length=600)
    namespace_id = models.UUIDField()
    workspace_id = models.UUIDField(db_index=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    slug = models.CharField(max_length=40, unique=True, default=new_slug, editable=False)
    provider = models.CharField(max_length=20)
    region = models.CharField(max_length=20)
    flavour = models.CharField(max_length=20)
    backend = models.CharField(max_length=20)

    desired_state = models.CharField(max_length=10, choices=DesiredState, default=DesiredState.RUNNING)
    wanted_version = models.ForeignKey(WorkflowVersion, on_delete=models.PROTECT, null=True, related_name="+")
    size = models.CharField(max_length=4)
    revision = models.PositiveIntegerField(default=1)
    generation = models.PositiveIntegerField(default=1)
    min_replicas = models.PositiveSmallIntegerField(default=1)
    max_replicas = models.PositiveSmallIntegerField(default=1)
    idle_seconds = models.PositiveIntegerField(default=0)
    auto_rollback = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True)

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    status_since = models.DateTimeField(default=timezone.now)
    reason_code = models.CharField(max_length=40, blank=True, default="")
    reason_detail = models.TextField(blank=True, default="")
    observed_generation = models.PositiveIntegerField(default=0)
    served_revision = models.PositiveIntegerField(default=0)
    wanted_replicas = models.PositiveSmallIntegerField(default=1)
    scaled_at = models.DateTimeField(null=True)
    watch_from = models.DateTimeField(null=True)
    watch_until = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    next_check_at = models.DateTimeField(null=True, default=timezone.now)
    failed_attempts = models.PositiveIntegerField(default=0)
    faults = models.PositiveIntegerField(default=0)
    stop_code = models.CharField(max_length=20, blank=True, default="", db_default="")
    stop_detail = models.TextField(blank=True, default="", db_default="")

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
            models.CheckConstraint(
                condition=models.Q(min_replicas__lte=models.F("max_replicas"), max_replicas__gte=1, max_replicas__lte=MOST_REPLICAS),
                name="deployment_replicas_in_limits",
            ),
        ]
        indexes = [
            models.Index(fields=["next_check_at"], name="deployment_due", condition=models.Q(next_check_at__isnull=False)),
            models.Index(fields=["expires_at"], name="deployment_expiring", condition=models.Q(expires_at__isnull=False)),
            models.Index(fields=["watch_until"], name="deployment_watched", condition=models.Q(watch_until__isnull=False)),
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
    def is_instance(self) -> bool:
        """Tell whether its time is paid, and not its runs."""
        return self.offer.price.unit is Unit.SECOND

    @property
    def may_sleep(self) -> bool:
        """Tell whether it goes on without a replica while nobody calls; a call then waits for the start of one."""
        return self.min_replicas == 0 and self.idle_seconds > 0

    @property
    def endpoint(self) -> str:
        """Return the URL that callers use; it never changes."""
        return str(settings.ENDPOINT_URL_TEMPLATE).format(slug=self.slug)


class RevisionKind(models.TextChoices):
    """What made a revision."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    RESIZE = "RESIZE"
    RESTART = "RESTART"
    ROLLBACK = "ROLLBACK"
    AUTO_ROLLBACK = "AUTO_ROLLBACK"


class RevisionState(models.TextChoices):
    """What became of a revision. A SERVED one took traffic once; rolling back goes to one of these."""

    PENDING = "PENDING"
    SERVED = "SERVED"
    FAILED = "FAILED"
    SUPERSEDED = "SUPERSEDED"


class Revision(BaseModel):
    """One version on one size that a deployment was to run: who wanted it, when, why, and the digest of what was built for it.

    `tag` and `size` stay when the version is deleted. Numbers rise by one in a deployment and are never used again.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="revisions")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=14, choices=RevisionKind)
    version = models.ForeignKey(WorkflowVersion, on_delete=models.SET_NULL, null=True, related_name="+")
    tag = models.CharField(max_length=100)
    size = models.CharField(max_length=4)
    digest = models.CharField(max_length=64, blank=True, default="")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    note = models.TextField(blank=True, default="")
    state = models.CharField(max_length=10, choices=RevisionState, default=RevisionState.PENDING)
    served_at = models.DateTimeField(null=True)
    reason_code = models.CharField(max_length=40, blank=True, default="")
    reason_detail = models.TextField(blank=True, default="")

    objects = DeploymentRowQuerySet.as_manager()

    class Meta:
        verbose_name = "revision"
        constraints = [models.UniqueConstraint(fields=["deployment", "number"], name="revision_number_unique")]

    def __str__(self) -> str:
        return f"{self.number} {self.tag} {self.size} ({self.state})"


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
