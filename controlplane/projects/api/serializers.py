"""Shapes of projects on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from controlplane.api.fields import ChoiceField, TextField, UrlField
from controlplane.projects.models import Project, Workflow, WorkflowVersion
from controlplane.workspaces.models import Visibility


class ProjectInput(serializers.Serializer[Any]):
    """A project to create."""

    name = TextField(max_length=100)
    description = TextField(max_length=10_000, allow_blank=True, default="")
    visibility = ChoiceField(
        choices=Visibility.choices, allow_null=True, default=None, help_text="TEAM or, in a personal workspace, PRIVATE."
    )


class ProjectChange(serializers.Serializer[Any]):
    """What may change of a project; the whole object may come back, read-only fields are ignored."""

    name = TextField(max_length=100, required=False)
    description = TextField(max_length=10_000, allow_blank=True, required=False)
    visibility = ChoiceField(choices=Visibility.choices, required=False)


class ProjectOutput(serializers.ModelSerializer[Project]):
    """A project; `namespace` is the path of its parent."""

    url = UrlField("project", project_id="id")
    path = serializers.CharField(read_only=True)
    namespace = serializers.CharField(source="namespace.path", read_only=True)

    class Meta:
        model = Project
        fields = ["url", "name", "path", "namespace", "description", "visibility", "created_at", "updated_at"]


class WorkflowInput(serializers.Serializer[Any]):
    """A push."""

    archive = serializers.FileField(help_text="Zip: workflow.json and a folder for each plugin.")


class WorkflowOutput(serializers.ModelSerializer[Workflow]):
    """A workflow with its newest version."""

    url = UrlField("workflow", workflow_id="id")
    project = UrlField("project", project_id="project_id")
    tag = serializers.SerializerMethodField()
    data = serializers.JSONField(source="current.data", read_only=True)  # type: ignore[assignment]

    class Meta:
        model = Workflow
        fields = ["url", "name", "description", "tag", "project", "data", "created_at", "updated_at"]

    def get_tag(self, workflow: Workflow) -> str:
        """Return the newest version's tag."""
        return workflow.current.tag if workflow.current else ""


class VersionOutput(serializers.ModelSerializer[WorkflowVersion]):
    """One version of a workflow."""

    tag = serializers.CharField(read_only=True)
    archive = UrlField("workflow-archive", workflow_id="workflow_id", number="number")
    created_by = serializers.CharField(source="created_by.username", default=None, read_only=True)

    class Meta:
        model = WorkflowVersion
        fields = ["tag", "archive", "archive_sha256", "archive_size", "plugins", "algorithms", "data", "created_by", "created_at"]


class EndpointTokenOutput(serializers.Serializer[Any]):
    """A token for endpoints (and storage). `id_token` is the JWT; it cannot be refreshed, ask again instead."""

    access_token = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds.")
    token_type = serializers.CharField()
    scope = serializers.CharField()
    refresh_token = serializers.CharField(allow_null=True)
    id_token = serializers.CharField()
