"""What workflow versions were built into, and who has been told of it."""

from __future__ import annotations

from datetime import datetime

from django.db import models

from controlplane.common.models import BaseModel
from controlplane.projects.models import WorkflowVersion
from deployments.models.deployment import Deployment
from deployments.querysets import BundleQuerySet


class Bundle(BaseModel):
    """What a workflow version was built into: `bundles/<digest>.tar` in the object store, with the log of the last build.

    `digest` is the SHA-256 of the tar, "" while it is built and after a failed build, whose reason then stands here. `algorithms` are the
    packages of the HUB that went into it: name, source, path, version, package, sha256. `log` is [[milliseconds since 1970, level, message]].

    `input_digest` names what it was built from, so that the same is not built again. `base` is the runtime that it was built for, `base_note` what
    differs from the one that the workflow asks for ("" = nothing). `lock` is the text of the requirements that were installed. `image` is the
    image that was pushed to the registry ("" = none), by its digest.

    While a worker builds, `build_token` is its own and `build_expires_at` the time at which another one may begin again; `attempt` counts the builds.
    `finished_at`: when the last one came to its end, good or bad.
    """

    version = models.OneToOneField(WorkflowVersion, on_delete=models.CASCADE, related_name="bundle")
    digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    size = models.PositiveBigIntegerField(default=0)
    log = models.JSONField(default=list)
    algorithms = models.JSONField(default=list)
    reason_code = models.CharField(max_length=40, blank=True, default="")
    reason_detail = models.TextField(blank=True, default="")
    input_digest = models.CharField(max_length=64, blank=True, default="", db_index=True)
    base = models.CharField(max_length=80, blank=True, default="")
    base_note = models.TextField(blank=True, default="")
    lock = models.TextField(blank=True, default="")
    image = models.CharField(max_length=400, blank=True, default="")
    attempt = models.PositiveIntegerField(default=0)
    build_token = models.UUIDField(null=True)
    finished_at = models.DateTimeField(null=True)
    build_expires_at = models.DateTimeField(null=True)

    objects = BundleQuerySet.as_manager()

    class Meta:
        verbose_name = "bundle"

    def failed_since(self, moment: datetime) -> bool:
        """Tell whether the last build ended after that moment, without a bundle and with a reason."""
        return bool(self.reason_code) and not self.digest and self.finished_at is not None and self.finished_at >= moment


class BuildListener(models.Model):
    """How many lines of a bundle's log (of which attempt) stand in a deployment's log already, so that none comes twice and none is missed."""

    bundle = models.ForeignKey(Bundle, on_delete=models.CASCADE, related_name="listeners")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="build_listeners")
    attempt = models.PositiveIntegerField(default=0)
    sent = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = "build listener"
        constraints = [models.UniqueConstraint(fields=["bundle", "deployment"], name="build_listener_unique")]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.attempt}:{self.sent}"
