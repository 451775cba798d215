"""The route of logs."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.views import WorkspaceView, validated
from controlplane.workspaces.permissions import Permission
from deployments.api import examples
from deployments.api.log_serializers import LogOutput, LogQuery
from deployments.api.views import readable
from deployments.logs_follow import follow_log
from deployments.selectors_logs import LogRequest, read_log


class DeploymentLogs(WorkspaceView):
    """What builds and runs of a deployment wrote."""

    permissions = {"GET": Permission.DEPLOYMENT_READ}

    @extend_schema(
        summary="Read or follow the logs of a deployment",
        description="The newest lines, or those from `start` on, of the last 30 days. With `follow` the answer waits for new lines; where too many "
        "wait already it comes at once and says in `retry_after_ms` and `Retry-After` when to ask again.",
        parameters=[LogQuery],
        responses=LogOutput,
        examples=[OpenApiExample("A run", examples.LOGS, response_only=True)],
    )
    def get(self, request: Request, deployment_id: UUID) -> Response:
        """Read lines: from `start` on, or the newest without one."""
        query = validated(LogQuery, request.query_params)
        follow = query.pop("follow")
        deployment = readable(request, deployment_id)
        if not follow:
            return Response(LogOutput(read_log(deployment.pk, LogRequest(**query))).data)
        page = follow_log(deployment.pk, LogRequest(**query), person=actor_of(request).pk)
        # Much may have changed while the answer was held: a member may have gone.
        readable(request, deployment_id)
        wait = page["retry_after_ms"] // 1000
        return Response(LogOutput(page).data, headers={"Retry-After": str(wait)} if wait else {})
