"""Routes of deployments and offers."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import Access, WorkspaceView, no_content, validated
from controlplane.workspaces.permissions import Permission, require
from deployments.api import examples
from deployments.api.control_serializers import Configuration
from deployments.api.serializers import (
    DeploymentChange,
    DeploymentInput,
    DeploymentOutput,
    OfferOutput,
)
from deployments.models import Deployment
from deployments.offers import FLAVOURS, PROVIDERS, REGIONS, canonical_provider, offers
from deployments.services import (
    configure_deployment,
    delete_deployment,
    project_of,
    request_deployment,
    update_deployment,
    visible_deployment,
    visible_workflow,
)


def exactly(names: tuple[str, ...]) -> str:
    """Describe a filter; a name that there is not finds nothing, as with every filter."""
    return f"One of {', '.join(names)}; anything else finds nothing."


class OfferList(WorkspaceView):
    """The catalogue."""

    permissions = {"GET": Access.SIGNED_IN}

    @extend_schema(
        summary="List offers",
        description="What workflows can be deployed on, with prices. `backend` tells who serves it.",
        responses=OfferOutput(many=True),
        examples=[OpenApiExample("An offer", examples.OFFER, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """List the catalogue in its order."""
        return Response(OfferOutput(list(offers()), many=True).data)


class WorkflowDeploymentList(WorkspaceView):
    """Deployments of a workflow."""

    permissions = {"GET": Permission.DEPLOYMENT_READ, "POST": Permission.DEPLOYMENT_CREATE}

    @extend_schema(
        summary="List deployments of a workflow",
        parameters=[
            OpenApiParameter("provider", str, description=exactly(PROVIDERS)),
            OpenApiParameter("region", str, description=exactly(REGIONS)),
            OpenApiParameter("flavour", str, description=exactly(FLAVOURS)),
        ],
        responses=page_of(DeploymentOutput),
        examples=[page_example(examples.DEPLOYMENT)],
    )
    def get(self, request: Request, workflow_id: UUID) -> Response:
        """List deployments, oldest first."""
        workflow = visible_workflow(actor_of(request), workflow_id)
        require(actor_of(request), Permission.DEPLOYMENT_READ, workflow.project)
        rows = Deployment.objects.filter(workflow=workflow).select_related("workflow", "wanted_version").order_by("created_at")
        for name in ("provider", "region", "flavour"):
            if value := request.query_params.get(name):
                wanted = canonical_provider(value) if name == "provider" else value.upper()
                rows = rows.none() if "\x00" in wanted else rows.filter(**{name: wanted})
        return paged(self, rows, DeploymentOutput)

    @extend_schema(
        summary="Deploy a workflow",
        description="Deploys the newest version. The answer comes at once with the endpoint's URL; it serves when the status is RUNNING.",
        request=DeploymentInput,
        responses={201: DeploymentOutput},
        examples=[
            OpenApiExample("A CPU instance in France", examples.REQUEST, request_only=True),
            OpenApiExample("Queued", examples.QUEUED, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request, workflow_id: UUID) -> Response:
        """Deploy."""
        deployment = request_deployment(actor=actor_of(request), workflow_id=workflow_id, **validated(DeploymentInput, request.data))
        return Response(DeploymentOutput(deployment, context={"request": request}).data, status=201)


class DeploymentDetail(WorkspaceView):
    """One deployment."""

    permissions = {
        "GET": Permission.DEPLOYMENT_READ,
        "PUT": Permission.DEPLOYMENT_EDIT,
        "PATCH": Permission.DEPLOYMENT_EDIT,
        "DELETE": Permission.DEPLOYMENT_DELETE,
    }

    @extend_schema(
        summary="Show a deployment",
        responses=DeploymentOutput,
        examples=[OpenApiExample("Running", examples.DEPLOYMENT, response_only=True)],
    )
    def get(self, request: Request, deployment_id: UUID) -> Response:
        """Show a deployment."""
        return Response(DeploymentOutput(readable(request, deployment_id), context={"request": request}).data)

    @extend_schema(
        summary="Update or resize a deployment",
        description="Brings it to the workflow's newest version and the given size; after an ERROR it tries again. The former version serves "
        "until the new one is healthy, and goes on serving if it fails (the reason is shown). Read-only fields in the body are ignored.",
        request=DeploymentChange,
        responses=DeploymentOutput,
        examples=[
            OpenApiExample("Larger", {"size": "L"}, request_only=True),
            OpenApiExample("Wanted", examples.UPDATING, response_only=True),
        ],
    )
    def put(self, request: Request, deployment_id: UUID) -> Response:
        """Update."""
        changes = validated(DeploymentChange, request.data)
        deployment = update_deployment(actor=actor_of(request), deployment_id=deployment_id, **changes)
        return Response(DeploymentOutput(deployment, context={"request": request}).data)

    @extend_schema(
        summary="Configure a deployment",
        description="How many replicas there may be, when it sleeps, when it ends, and whether a faulty version is taken back. No version changes.",
        request=Configuration,
        responses=DeploymentOutput,
        examples=[
            OpenApiExample("One to four replicas", {"min_replicas": 1, "max_replicas": 4}, request_only=True),
            OpenApiExample("Configured", examples.DEPLOYMENT, response_only=True),
        ],
    )
    def patch(self, request: Request, deployment_id: UUID) -> Response:
        """Configure."""
        wanted = validated(Configuration, request.data)
        deployment = configure_deployment(actor=actor_of(request), deployment_id=deployment_id, **wanted)
        return Response(DeploymentOutput(deployment, context={"request": request}).data)

    @extend_schema(
        summary="Delete a deployment",
        description="The endpoint closes at once; runs in hand have 20 seconds to finish. The row disappears when the infrastructure is gone.",
        responses={204: None},
    )
    def delete(self, request: Request, deployment_id: UUID) -> HttpResponse:
        """Delete."""
        delete_deployment(actor=actor_of(request), deployment_id=deployment_id)
        return no_content()


def readable(request: Request, deployment_id: UUID) -> Deployment:
    """Return a deployment that the caller sees and may read."""
    deployment = visible_deployment(actor_of(request), deployment_id)
    require(actor_of(request), Permission.DEPLOYMENT_READ, project_of(deployment))
    return deployment
