"""Routes of organizations and namespaces."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.accounts.models import User
from controlplane.api.pagination import exact_filters, paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import Access, WorkspaceView, no_content, validated
from controlplane.common.errors import NotFound
from controlplane.workspaces.api.examples import NAMESPACE, ORGANIZATION
from controlplane.workspaces.api.member_views import MemberDetailView, MemberListView, TargetView
from controlplane.workspaces.api.serializers import (
    NamespaceChange,
    NamespaceInput,
    NamespaceOutput,
    OrganizationChange,
    OrganizationInput,
    OrganizationOutput,
    RoleRowOutput,
)
from controlplane.workspaces.matrix import matrix
from controlplane.workspaces.models import Namespace, Organization
from controlplane.workspaces.permissions import Permission
from controlplane.workspaces.services import (
    create_namespace,
    create_organization,
    delete_namespace,
    delete_organization,
    update_namespace,
    update_organization,
    visible_namespace,
    visible_organization,
)

ROLE_ROW = {
    "title": "Manage members",
    "permissions": ["member.manage"],
    "roles": {"PARTNER": False, "MEMBER": False, "MANAGER": False, "OWNER": True},
    "public": False,
}
NAME = OpenApiParameter("name", str, description="Exact name.")


class RoleMatrix(WorkspaceView):
    """The role table."""

    permissions = {"GET": Access.SIGNED_IN}

    @extend_schema(
        summary="Show the role table",
        description="One row for each group of permissions: which roles have it, and whether it comes with being public.",
        responses=RoleRowOutput(many=True),
        examples=[OpenApiExample("A row", ROLE_ROW, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Show the table that every check reads."""
        rows: Any = matrix()
        return Response(RoleRowOutput(rows, many=True).data)


class OrganizationList(WorkspaceView):
    """Organizations that the caller sees."""

    permissions = {"GET": Permission.ORGANIZATION_READ, "POST": Permission.ORGANIZATION_EDIT}

    @extend_schema(
        summary="List organizations",
        description="Those that the caller is in, and public ones.",
        parameters=[NAME, OpenApiParameter("visibility", str, description="PUBLIC or TEAM.")],
        responses=page_of(OrganizationOutput),
        examples=[page_example(ORGANIZATION)],
    )
    def get(self, request: Request) -> Response:
        """List organizations."""
        rows = Organization.objects.visible_to(actor_of(request)).order_by("name")
        return paged(self, exact_filters(request, rows, name="name", visibility="visibility"), OrganizationOutput)

    @extend_schema(
        summary="Create an organization",
        description="The caller becomes its owner. Its workspace is the namespace of the same name.",
        request=OrganizationInput,
        responses={201: OrganizationOutput},
        examples=[
            OpenApiExample("New", {"name": "harbour", "visibility": "TEAM"}, request_only=True),
            OpenApiExample("Created", ORGANIZATION, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Create an organization."""
        organization = create_organization(actor=actor_of(request), **validated(OrganizationInput, given(request)))
        return Response(OrganizationOutput(organization, context={"request": request}).data, status=201)


class OrganizationDetail(WorkspaceView):
    """One organization."""

    permissions = {
        "GET": Permission.ORGANIZATION_READ,
        "PUT": Permission.ORGANIZATION_EDIT,
        "DELETE": Permission.ORGANIZATION_DELETE,
    }

    @extend_schema(
        summary="Show an organization",
        responses=OrganizationOutput,
        examples=[OpenApiExample("Organization", ORGANIZATION, response_only=True)],
    )
    def get(self, request: Request, organization_id: UUID) -> Response:
        """Show an organization."""
        organization = visible_organization(actor_of(request), organization_id)
        return Response(OrganizationOutput(organization, context={"request": request}).data)

    @extend_schema(
        summary="Change an organization",
        description="A new name moves the paths of all that is in it.",
        request=OrganizationChange,
        responses=OrganizationOutput,
        examples=[
            OpenApiExample("Profile", {"location": "Marseille"}, request_only=True),
            OpenApiExample("Organization", ORGANIZATION, response_only=True),
        ],
    )
    def put(self, request: Request, organization_id: UUID) -> Response:
        """Change an organization."""
        changes = validated(OrganizationChange, given(request))
        organization = update_organization(actor=actor_of(request), organization_id=organization_id, **changes)
        return Response(OrganizationOutput(organization, context={"request": request}).data)

    @extend_schema(summary="Delete an organization", description="Refused while it holds anything.", responses={204: None})
    def delete(self, request: Request, organization_id: UUID) -> HttpResponse:
        """Delete an empty organization."""
        delete_organization(actor=actor_of(request), organization_id=organization_id)
        return no_content()


class OnOrganization(TargetView):
    """Members of an organization."""

    route = "organization-member"

    def target(self, actor: User, **keys: UUID) -> Organization:
        """Return the organization."""
        return visible_organization(actor, keys["organization_id"])


class OrganizationMemberList(OnOrganization, MemberListView):
    """Members of an organization."""


class OrganizationMemberDetail(OnOrganization, MemberDetailView):
    """One member of an organization."""


class NamespaceList(WorkspaceView):
    """Namespaces that the caller sees."""

    permissions = {"GET": Permission.NAMESPACE_READ}

    @extend_schema(
        summary="List namespaces",
        parameters=[NAME, OpenApiParameter("path", str, description="Exact path.")],
        responses=page_of(NamespaceOutput),
        examples=[page_example(NAMESPACE)],
    )
    def get(self, request: Request) -> Response:
        """List namespaces."""
        rows = Namespace.objects.visible_to(actor_of(request)).order_by("path")
        return paged(self, exact_filters(request, rows, name="name", path="path"), NamespaceOutput)


class NamespaceDetail(WorkspaceView):
    """One namespace."""

    permissions = {"GET": Permission.NAMESPACE_READ, "PUT": Permission.NAMESPACE_EDIT, "DELETE": Permission.NAMESPACE_DELETE}

    @extend_schema(
        summary="Show a namespace", responses=NamespaceOutput, examples=[OpenApiExample("Personal", NAMESPACE, response_only=True)]
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """Show a namespace."""
        return Response(NamespaceOutput(visible_namespace(actor_of(request), namespace_id), context={"request": request}).data)

    @extend_schema(
        summary="Change a namespace",
        description="Only sub-namespaces: the root of a workspace follows its person or organization.",
        request=NamespaceChange,
        responses=NamespaceOutput,
        examples=[
            OpenApiExample("Private", {"visibility": "PRIVATE"}, request_only=True),
            OpenApiExample("Namespace", NAMESPACE, response_only=True),
        ],
    )
    def put(self, request: Request, namespace_id: UUID) -> Response:
        """Change a namespace."""
        changes = validated(NamespaceChange, request.data)
        namespace = update_namespace(actor=actor_of(request), namespace_id=namespace_id, **changes)
        return Response(NamespaceOutput(namespace, context={"request": request}).data)

    @extend_schema(summary="Delete a namespace", description="Refused while it holds anything, and for roots.", responses={204: None})
    def delete(self, request: Request, namespace_id: UUID) -> HttpResponse:
        """Delete an empty sub-namespace."""
        delete_namespace(actor=actor_of(request), namespace_id=namespace_id)
        return no_content()


class SubNamespaceList(WorkspaceView):
    """Namespaces inside a namespace."""

    permissions = {"GET": Permission.NAMESPACE_READ, "POST": Permission.NAMESPACE_CREATE}

    @extend_schema(
        summary="List namespaces in a namespace", parameters=[NAME], responses=page_of(NamespaceOutput), examples=[page_example(NAMESPACE)]
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """List sub-namespaces."""
        actor = actor_of(request)
        namespace = visible_namespace(actor, namespace_id)
        rows = Namespace.objects.visible_to(actor).filter(parent=namespace).order_by("path")
        return paged(self, exact_filters(request, rows, name="name"), NamespaceOutput)

    @extend_schema(
        summary="Create a namespace in a namespace",
        description="Members of the outer one are members of the inner one, with the same roles.",
        request=NamespaceInput,
        responses={201: NamespaceOutput},
        examples=[
            OpenApiExample("New", {"name": "cranes"}, request_only=True),
            OpenApiExample("Created", NAMESPACE, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Create a sub-namespace."""
        namespace = create_namespace(actor=actor_of(request), parent_id=namespace_id, **validated(NamespaceInput, given(request)))
        return Response(NamespaceOutput(namespace, context={"request": request}).data, status=201)


class OnNamespace(TargetView):
    """Members of a namespace; a personal one has none."""

    route = "namespace-member"

    def target(self, actor: User, **keys: UUID) -> Namespace:
        """Return the namespace. Raises `NotFound` for a personal one too: clients take that as "none"."""
        namespace = visible_namespace(actor, keys["namespace_id"])
        if namespace.is_personal:
            raise NotFound("personal_workspace", "A personal workspace has no members. Create an organization to share projects.")
        return namespace


class NamespaceMemberList(OnNamespace, MemberListView):
    """Members of a namespace."""


class NamespaceMemberDetail(OnNamespace, MemberDetailView):
    """One member of a namespace."""


def given(request: Request) -> Any:
    """Return the fields of a JSON object that are not null: clients send null for what was not said."""
    data = request.data
    return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data
