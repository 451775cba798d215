"""The token route that clients of an endpoint use: they know the endpoint's URL, not its project."""

from __future__ import annotations

import re

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.views import WorkspaceView
from controlplane.common.errors import InvalidInput
from controlplane.common.ids import SLUG_ALPHABET, SLUG_LENGTH
from controlplane.common.lookup import visible_or_404
from controlplane.projects.api.examples import ENDPOINT_TOKEN
from controlplane.projects.api.serializers import EndpointTokenOutput
from controlplane.projects.tokens import project_token, wants_storage
from controlplane.workspaces.permissions import Permission
from deployments.models import Deployment

SLUG = re.compile(rf"(?<![a-z0-9])d[{SLUG_ALPHABET}]{{{SLUG_LENGTH - 1}}}(?![a-z0-9])")


class EndpointToken(WorkspaceView):
    """Tokens by the URL of an endpoint."""

    permissions = {"GET": Permission.ENDPOINT_CONSUME}

    @extend_schema(
        summary="Get an endpoint token by the endpoint's URL",
        parameters=[
            OpenApiParameter("endpoint", str, required=True, description="The endpoint, with or without its scheme."),
            OpenApiParameter("storage", str, description="Allow the storage API too: `true`, or `read` to read only."),
        ],
        responses=EndpointTokenOutput,
        examples=[OpenApiExample("Token", ENDPOINT_TOKEN, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Sign a token for the project of the endpoint."""
        actor = actor_of(request)
        found = SLUG.search(request.query_params.get("endpoint", ""))
        if found is None:
            raise InvalidInput(
                "endpoint",
                "Name the endpoint: ?endpoint=<its URL>, as the deployment shows it. For a project's token use its own 'jwt/' route.",
                fields={"endpoint": ["not the URL of an endpoint"]},
            )
        visible = Deployment.objects.visible_to(actor).select_related("workflow__project__namespace")
        deployment = visible_or_404(visible.exclude(workflow=None), slug=found.group())
        storage = wants_storage(request.query_params.get("storage"))
        answer = Response(project_token(actor=actor, project=deployment.workflow.project, storage=storage))
        answer["Cache-Control"] = "no-store"
        return answer
