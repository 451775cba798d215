"""Routes of projects."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.accounts.models import User
from controlplane.api.pagination import exact_filters, paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView, no_content, validated
from controlplane.common.lookup import visible_or_404
from controlplane.projects.api.examples import ENDPOINT_TOKEN, PROJECT
from controlplane.projects.api.serializers import EndpointTokenOutput, ProjectChange, ProjectInput, ProjectOutput
from controlplane.projects.models import Project
from controlplane.projects.services import create_project, delete_project, update_project, visible_project
from controlplane.projects.tokens import project_token, wants_storage
from controlplane.workspaces.api.member_views import MemberDetailView, MemberListView, TargetView
from controlplane.workspaces.models import Namespace
from controlplane.workspaces.permissions import Permission

NAME = OpenApiParameter("name", str, description="Exact name.")
NAMESPACE = OpenApiParameter("namespace", str, description="Path of the parent.")


class ProjectList(WorkspaceView):
    """Projects that the caller sees."""

    permissions = {"GET": Permission.PROJECT_READ}

    @extend_schema(
        summary="List projects", parameters=[NAME, NAMESPACE], responses=page_of(ProjectOutput), examples=[page_example(PROJECT)]
    )
    def get(self, request: Request) -> Response:
        """List projects, oldest first."""
        rows = Project.objects.visible_to(actor_of(request)).select_related("namespace").order_by("created_at")
        return paged(self, exact_filters(request, rows, name="name", namespace="namespace__path"), ProjectOutput)


class NamespaceProjectList(WorkspaceView):
    """Projects of one namespace."""

    permissions = {"GET": Permission.PROJECT_READ, "POST": Permission.PROJECT_CREATE}

    @extend_schema(
        summary="List projects of a namespace", parameters=[NAME], responses=page_of(ProjectOutput), examples=[page_example(PROJECT)]
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """List projects of a namespace."""
        actor = actor_of(request)
        namespace = visible_or_404(Namespace.objects.visible_to(actor), pk=namespace_id)
        rows = Project.objects.visible_to(actor).filter(namespace=namespace).select_related("namespace").order_by("created_at")
        return paged(self, exact_filters(request, rows, name="name"), ProjectOutput)

    @extend_schema(
        summary="Create a project",
        request=ProjectInput,
        responses={201: ProjectOutput},
        examples=[
            OpenApiExample("New", {"name": "quay", "description": "Cranes and hulls", "visibility": "PRIVATE"}, request_only=True),
            OpenApiExample("Created", PROJECT, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Create a project."""
        project = create_project(actor=actor_of(request), namespace_id=namespace_id, **validated(ProjectInput, request.data))
        return Response(ProjectOutput(project, context={"request": request}).data, status=201)


class ProjectDetail(WorkspaceView):
    """One project."""

    permissions = {"GET": Permission.PROJECT_READ, "PUT": Permission.PROJECT_EDIT, "DELETE": Permission.PROJECT_DELETE}

    @extend_schema(summary="Show a project", responses=ProjectOutput, examples=[OpenApiExample("Project", PROJECT, response_only=True)])
    def get(self, request: Request, project_id: UUID) -> Response:
        """Show a project."""
        return Response(ProjectOutput(visible_project(actor_of(request), project_id), context={"request": request}).data)

    @extend_schema(
        summary="Change a project",
        request=ProjectChange,
        responses=ProjectOutput,
        examples=[
            OpenApiExample("Publish", {"visibility": "PUBLIC"}, request_only=True),
            OpenApiExample("Project", PROJECT, response_only=True),
        ],
    )
    def put(self, request: Request, project_id: UUID) -> Response:
        """Change a project."""
        project = update_project(actor=actor_of(request), project_id=project_id, **validated(ProjectChange, request.data))
        return Response(ProjectOutput(project, context={"request": request}).data)

    @extend_schema(summary="Delete a project", description="Refused while it has workflows.", responses={204: None})
    def delete(self, request: Request, project_id: UUID) -> HttpResponse:
        """Delete an empty project."""
        delete_project(actor=actor_of(request), project_id=project_id)
        return no_content()


class OnProject(TargetView):
    """Members of a project."""

    route = "project-member"

    def target(self, actor: User, **keys: UUID) -> Project:
        """Return the project."""
        return visible_project(actor, keys["project_id"])


class ProjectMemberList(OnProject, MemberListView):
    """Members of a project."""


class ProjectMemberDetail(OnProject, MemberDetailView):
    """One member of a project."""


class ProjectToken(WorkspaceView):
    """Tokens for the endpoints of a project."""

    permissions = {"GET": Permission.ENDPOINT_CONSUME}

    @extend_schema(
        summary="Get an endpoint token for a project",
        parameters=[OpenApiParameter("storage", str, description="Allow the storage API too: `true`, or `read` to read only.")],
        responses=EndpointTokenOutput,
        examples=[OpenApiExample("Token", ENDPOINT_TOKEN, response_only=True)],
    )
    def get(self, request: Request, project_id: UUID) -> Response:
        """Sign a token."""
        actor = actor_of(request)
        storage = wants_storage(request.query_params.get("storage"))
        answer = Response(project_token(actor=actor, project=visible_project(actor, project_id), storage=storage))
        answer["Cache-Control"] = "no-store"
        return answer
