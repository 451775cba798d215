"""Routes of usage: of a deployment, of a project, of a namespace."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.views import WorkspaceView, validated
from controlplane.projects.services import visible_project
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.services import visible_namespace
from deployments.api import examples
from deployments.api.usage_serializers import UsageOutput, UsageQuery
from deployments.api.views import readable
from deployments.models import UsageGrain
from deployments.selectors_usage import usage_by_product, usage_of_namespace, usage_of_project

SHAPE: dict[str, Any] = {
    "parameters": [
        OpenApiParameter("from", int, description="Milliseconds since 1970; a day before `to` if left out."),
        OpenApiParameter("to", int, description="Milliseconds since 1970, its bucket included; now if left out."),
        OpenApiParameter(
            "bucket",
            str,
            enum=UsageGrain.values,
            description="How fine; by the period's length if left out. A month of minutes or five years of hours at most.",
        ),
    ],
    "responses": UsageOutput(many=True),
    "examples": [OpenApiExample("Three runs", examples.USAGE[0], response_only=True)],
}


class DeploymentUsage(WorkspaceView):
    """How often a deployment was called."""

    permissions = {"GET": Permission.DEPLOYMENT_READ}

    @extend_schema(summary="Count the runs of a deployment", **SHAPE)
    def get(self, request: Request, deployment_id: UUID) -> Response:
        """Count runs by product and minute, hour or day."""
        period = UsageQuery.period(validated(UsageQuery, request.query_params))
        return usage_answer(usage_by_product(readable(request, deployment_id).pk, **period))


class ProjectUsage(WorkspaceView):
    """How often a project's deployments were called."""

    permissions = {"GET": Permission.DEPLOYMENT_READ}

    @extend_schema(
        summary="Count the runs of a project", description="All deployments of the project together, deleted ones included.", **SHAPE
    )
    def get(self, request: Request, project_id: UUID) -> Response:
        """Count runs by product and minute, hour or day."""
        period = UsageQuery.period(validated(UsageQuery, request.query_params))
        project = visible_project(actor_of(request), project_id)
        require(actor_of(request), Permission.DEPLOYMENT_READ, project)
        return usage_answer(usage_of_project(project.pk, **period))


class NamespaceUsage(WorkspaceView):
    """How often the deployments of a namespace were called."""

    permissions = {"GET": Permission.DEPLOYMENT_READ}

    @extend_schema(
        summary="Count the runs of a namespace",
        description="The projects right in the namespace together, but for those that you do not see.",
        **SHAPE,
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """Count runs by product and minute, hour or day."""
        period = UsageQuery.period(validated(UsageQuery, request.query_params))
        namespace = visible_namespace(actor_of(request), namespace_id)
        require(actor_of(request), Permission.DEPLOYMENT_READ, namespace)
        return usage_answer(usage_of_namespace(actor_of(request), namespace, **period))


def usage_answer(rows: list[dict[str, Any]]) -> Response:
    """Return the runs of each product."""
    return Response(UsageOutput(rows, many=True).data)
