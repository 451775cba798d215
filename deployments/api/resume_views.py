"""The route that resumes what was suspended."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.fields import UrlField
from controlplane.api.views import WorkspaceView
from controlplane.workspaces.permissions import Permission
from deployments.api import examples
from deployments.api.serializers import DeploymentOutput
from deployments.resuming import resume_suspended

REFUSED = {
    "url": "https://slipway.example.com/v1/deployments/0197c1de-0000-7000-8000-00000000000b/",
    "workflow": "harbour/quay/count",
    "code": "no_credits",
    "detail": "Starting this reserves 13.788 credits (15 minutes), and 9.192 are available: 4.596 are missing. Add credits, pause another "
    "deployment, or choose a smaller size.",
}


class RefusedOutput(serializers.Serializer[Any]):
    """A deployment that stays suspended."""

    url = UrlField("deployment", deployment_id="deployment_id")
    workflow = serializers.CharField(source="deployment.path")
    code = serializers.CharField()
    detail = serializers.CharField(help_text="What is missing, and what to do.")


class ResumedOutput(serializers.Serializer[Any]):
    """What became of the suspended deployments."""

    resumed = DeploymentOutput(many=True)
    refused = RefusedOutput(many=True)


class NamespaceResume(WorkspaceView):
    """All suspended deployments of a workspace."""

    permissions = {"POST": Permission.DEPLOYMENT_EDIT}

    @extend_schema(
        summary="Resume all suspended deployments",
        description="After a top-up: all deployments of the workspace that were suspended start again on their URLs, the oldest first, as far as "
        "credits and spend caps go.",
        request=None,
        responses={202: ResumedOutput},
        examples=[
            OpenApiExample("Resumed", {"resumed": [examples.DEPLOYMENT], "refused": [REFUSED]}, response_only=True, status_codes=["202"])
        ],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Resume."""
        done: Any = resume_suspended(actor=actor_of(request), namespace_id=namespace_id)
        return Response(ResumedOutput(done, context={"request": request}).data, status=202)
