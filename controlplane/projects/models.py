"""Projects, workflows and their versions."""

from __future__ import annotations

from uuid import UUID

from django.db import models

from controlplane.accounts.models import User
from controlplane.common.models import BaseModel
from controlplane.projects.querysets import ProjectQuerySet, WorkflowQuerySet, WorkflowVersionQuerySet
from controlplane.workspaces.models import Namespace, Visibility


class Project(BaseModel):
    """A container of workflows; its path is `<namespace path>/<name>`. A `sample` came with a sign-up and counts towards no quota."""

    namespace = models.ForeignKey(Namespace, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=100)
    description = models.TextField(max_length=10_000, blank=True, default="")
    visibility = models.CharField(max_length=10, choices=Visibility, default=Visibility.PRIVATE)
    sample = models.BooleanField(default=False, db_default=False)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        verbose_name = "project"
        constraints = [models.UniqueConstraint(fields=["namespace", "name"], name="project_name_unique")]

    @property
    def path(self) -> str:
        """Return the project's full path."""
        return f"{self.namespace.path}/{self.name}"

    @property
    def workspace_id(self) -> UUID:
        """Return the id of the organization or the person that it belongs to."""
        return self.namespace.workspace_id


class Workflow(BaseModel):
    """A named workflow of a project; each push of the name adds a version, and `current` is the newest.

    A `sample` came with a sign-up and counts towards no quota, whatever is pushed to it later.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="workflows")
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True, default="")
    current = models.ForeignKey("WorkflowVersion", on_delete=models.SET_NULL, null=True, related_name="+")
    sample = models.BooleanField(default=False, db_default=False)

    objects = WorkflowQuerySet.as_manager()

    class Meta:
        verbose_name = "workflow"
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="workflow_name_unique")]

    @property
    def path(self) -> str:
        """Return the workflow's full path."""
        return f"{self.project.path}/{self.name}"


class WorkflowVersion(BaseModel):
    """What one push brought: immutable. `data` is the archive's workflow.json, `archive_key` where the archive lies in the object store.

    `plugins` are the names of those in the archive, `algorithms` of those that a build takes from the HUB.
    """

    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    data = models.JSONField()
    plugins = models.JSONField(default=list)
    algorithms = models.JSONField(default=list)
    archive_key = models.CharField(max_length=300)
    archive_sha256 = models.CharField(max_length=64)
    archive_size = models.PositiveBigIntegerField()
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = WorkflowVersionQuerySet.as_manager()

    class Meta:
        verbose_name = "workflow version"
        constraints = [models.UniqueConstraint(fields=["workflow", "number"], name="version_number_unique")]

    def __str__(self) -> str:
        return f"{self.workflow.name} {self.tag}"

    @property
    def tag(self) -> str:
        """Return the version's name: v1, v2, …"""
        return f"v{self.number}"
