"""The route of logs."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.api.views import WorkspaceView, validated
from controlplane.workspaces.permissions import Permission
from deployments.api import examples
from deployments.api.log_serializers import LogOutput, LogQuery
from deployments.api.views import readable
from deployments.selectors_logs import read_log


class DeploymentLogs(WorkspaceView):
    """What builds and runs of a deployment wrote."""

    permissions = {"GET": Permission.DEPLOYMENT_READ}

    @extend_schema(
        summary="Read the logs of a deployment",
        parameters=[LogQuery],
        responses=LogOutput,
        examples=[OpenApiExample("A run", examples.LOGS, response_only=True)],
    )
    def get(self, request: Request, deployment_id: UUID) -> Response:
        """Read lines: from `start` on, or the newest without one."""
        query = {"start": None, "end": None, "level": None, **validated(LogQuery, request.query_params)}
        return Response(LogOutput(read_log(readable(request, deployment_id), **query)).data)
