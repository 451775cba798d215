"""Deployments and the changes of their status."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from controlplane.accounts.models import User
from controlplane.common.ids import new_slug
from controlplane.common.models import BaseModel
from controlplane.projects.models import Workflow, WorkflowVersion
from deployments.offers import Offer, offer_of
from deployments.querysets import DeploymentQuerySet, DeploymentRowQuerySet
from deployments.states import DesiredState, Status


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
