"""Routes of workspaces."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import exact_filters, paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView
from controlplane.common.lookup import visible_or_404
from controlplane.workspaces.api.serializers import NamespaceOutput
from controlplane.workspaces.models import Namespace
from controlplane.workspaces.permissions import Permission

NAMESPACE = {
    "url": "http://127.0.0.1:8000/v1/namespaces/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c21/",
    "name": "ines",
    "path": "ines",
    "visibility": "PRIVATE",
}


class NamespaceList(WorkspaceView):
    """Namespaces that the caller sees."""

    permissions = {"GET": Permission.NAMESPACE_READ}

    @extend_schema(
        summary="List namespaces",
        parameters=[OpenApiParameter("name", str, description="Exact name."), OpenApiParameter("path", str, description="Exact path.")],
        responses=page_of(NamespaceOutput),
        examples=[page_example(NAMESPACE)],
    )
    def get(self, request: Request) -> Response:
        """List namespaces."""
        rows = Namespace.objects.visible_to(actor_of(request)).order_by("path")
        return paged(self, exact_filters(request, rows, name="name", path="path"), NamespaceOutput)


class NamespaceDetail(WorkspaceView):
    """One namespace."""

    permissions = {"GET": Permission.NAMESPACE_READ}

    @extend_schema(
        summary="Show a namespace", responses=NamespaceOutput, examples=[OpenApiExample("Personal", NAMESPACE, response_only=True)]
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """Show a namespace."""
        namespace = visible_or_404(Namespace.objects.visible_to(actor_of(request)), pk=namespace_id)
        return Response(NamespaceOutput(namespace, context={"request": request}).data)


class SubNamespaceList(WorkspaceView):
    """Namespaces inside a namespace."""

    permissions = {"GET": Permission.NAMESPACE_READ}

    @extend_schema(
        summary="List namespaces in a namespace",
        parameters=[OpenApiParameter("name", str, description="Exact name.")],
        responses=page_of(NamespaceOutput),
        examples=[page_example(NAMESPACE)],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """List sub-namespaces."""
        visible = Namespace.objects.visible_to(actor_of(request))
        namespace = visible_or_404(visible, pk=namespace_id)
        return paged(self, exact_filters(request, visible.filter(parent=namespace).order_by("path"), name="name"), NamespaceOutput)
