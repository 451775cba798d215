"""Routes of workflows."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.http import FileResponse, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import exact_filters, paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView, no_content, validated
from controlplane.common.errors import TooLarge
from controlplane.common.lookup import visible_or_404
from controlplane.common.objectstore import object_store
from controlplane.projects.api.examples import VERSION, WORKFLOW
from controlplane.projects.api.serializers import VersionOutput, WorkflowInput, WorkflowOutput
from controlplane.projects.models import Workflow, WorkflowVersion
from controlplane.projects.services import delete_workflow, push_workflow, visible_project
from controlplane.workspaces.permissions import Permission


class ProjectWorkflowList(WorkspaceView):
    """Workflows of a project."""

    permissions = {"GET": Permission.WORKFLOW_READ, "POST": Permission.WORKFLOW_PUSH}
    parser_classes = [MultiPartParser]
    replies_in_transaction = False

    @extend_schema(
        summary="List workflows of a project",
        parameters=[OpenApiParameter("name", str, description="Exact name.")],
        responses=page_of(WorkflowOutput),
        examples=[page_example(WORKFLOW)],
    )
    def get(self, request: Request, project_id: UUID) -> Response:
        """List workflows by name."""
        project = visible_project(actor_of(request), project_id)
        rows = project.workflows.select_related("current").order_by("name")
        return paged(self, exact_filters(request, rows, name="name"), WorkflowOutput)

    @extend_schema(
        summary="Push a workflow",
        description="A zip with workflow.json and a folder for each plugin. It is checked before it is accepted; the same name again makes a new tag.",
        request={"multipart/form-data": WorkflowInput},
        responses={201: WorkflowOutput},
        examples=[OpenApiExample("Pushed", WORKFLOW, response_only=True, status_codes=["201"])],
    )
    def post(self, request: Request, project_id: UUID) -> Response:
        """Push."""
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.PUSH_MAX_BYTES:
            raise TooLarge(
                "archive_too_large", f"An archive may have {settings.PUSH_MAX_BYTES // 2**20} MB. Leave data and weights out of it."
            )
        archive = validated(WorkflowInput, request.data)["archive"]
        workflow = push_workflow(actor=actor_of(request), project_id=project_id, archive=archive)
        return Response(WorkflowOutput(workflow, context={"request": request}).data, status=201)


class WorkflowDetail(WorkspaceView):
    """One workflow."""

    permissions = {"GET": Permission.WORKFLOW_READ, "DELETE": Permission.WORKFLOW_DELETE}
    replies_in_transaction = False

    @extend_schema(summary="Show a workflow", responses=WorkflowOutput, examples=[OpenApiExample("Workflow", WORKFLOW, response_only=True)])
    def get(self, request: Request, workflow_id: UUID) -> Response:
        """Show a workflow."""
        workflow = visible_or_404(Workflow.objects.visible_to(actor_of(request)).select_related("current"), pk=workflow_id)
        return Response(WorkflowOutput(workflow, context={"request": request}).data)

    @extend_schema(summary="Delete a workflow", description="With all its versions. Refused while it is deployed.", responses={204: None})
    def delete(self, request: Request, workflow_id: UUID) -> HttpResponse:
        """Delete a workflow."""
        delete_workflow(actor=actor_of(request), workflow_id=workflow_id)
        return no_content()


class VersionList(WorkspaceView):
    """Every version of a workflow."""

    permissions = {"GET": Permission.WORKFLOW_READ}

    @extend_schema(summary="List versions of a workflow", responses=page_of(VersionOutput), examples=[page_example(VERSION)])
    def get(self, request: Request, workflow_id: UUID) -> Response:
        """List versions, newest first."""
        workflow = visible_or_404(Workflow.objects.visible_to(actor_of(request)), pk=workflow_id)
        return paged(self, workflow.versions.select_related("created_by").order_by("-number"), VersionOutput)


class VersionArchive(WorkspaceView):
    """The archive of one version, as it was pushed."""

    permissions = {"GET": Permission.WORKFLOW_READ}

    @extend_schema(summary="Download a version's archive", responses={(200, "application/zip"): OpenApiTypes.BINARY})
    def get(self, request: Request, workflow_id: UUID, number: int) -> FileResponse:
        """Stream the archive."""
        versions = WorkflowVersion.objects.visible_to(actor_of(request)).select_related("workflow")
        version = visible_or_404(versions, workflow_id=workflow_id, number=number)
        stream = object_store().open_stream(version.archive_key)
        return FileResponse(
            stream, as_attachment=True, filename=f"{version.workflow.name}-{version.tag}.zip", content_type="application/zip"
        )
