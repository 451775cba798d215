"""What workflow versions were built into."""

from __future__ import annotations

from django.db import models

from controlplane.common.models import BaseModel
from controlplane.projects.models import WorkflowVersion
from deployments.querysets import BundleQuerySet


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
