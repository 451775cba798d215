"""Routes of webhooks and their deliveries."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import exact_filters, paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView, no_content, validated
from controlplane.webhooks import services
from controlplane.webhooks.api import examples
from controlplane.webhooks.api.serializers import (
    DeliveryOutput,
    ReplayOutput,
    SecretWebhookOutput,
    WebhookChange,
    WebhookInput,
    WebhookOutput,
)
from controlplane.webhooks.models import Delivery, DeliveryState, Webhook
from controlplane.workspaces.permissions import Permission

SHOWN = OpenApiExample("Webhook", examples.WEBHOOK, response_only=True)
STATE = OpenApiParameter("state", str, description=f"One of {', '.join(DeliveryState.values)}; anything else finds nothing.")
TYPE = OpenApiParameter("type", str, description="Exact type of the event.")


def with_secret(request: Request, webhook: Webhook, secret: str, *, status: int) -> Response:
    """Answer with a secret, which nothing on the way may keep."""
    output = SecretWebhookOutput(webhook, context={"request": request, "secret": secret})
    return Response(output.data, status=status, headers={"Cache-Control": "no-store"})


class ProjectWebhookList(WorkspaceView):
    """Webhooks of a project."""

    permissions = {"GET": Permission.WEBHOOK_READ, "POST": Permission.WEBHOOK_MANAGE}

    @extend_schema(
        summary="List webhooks of a project", responses=page_of(WebhookOutput), examples=[page_example(examples.WEBHOOK)], tags=["webhooks"]
    )
    def get(self, request: Request, project_id: UUID) -> Response:
        """List webhooks, oldest first."""
        project = services.readable_project(actor_of(request), project_id)
        return paged(self, Webhook.objects.filter(project=project).select_related("created_by").order_by("created_at"), WebhookOutput)

    @extend_schema(
        summary="Add a webhook",
        description="Events of the project are sent to its address from now on, signed with the secret in the answer, which is not told again.",
        request=WebhookInput,
        responses={201: SecretWebhookOutput},
        examples=[
            OpenApiExample("New", examples.NEW, request_only=True),
            OpenApiExample("Added", examples.WITH_SECRET, response_only=True, status_codes=["201"]),
        ],
        tags=["webhooks"],
    )
    def post(self, request: Request, project_id: UUID) -> Response:
        """Add a webhook."""
        given = validated(WebhookInput, request.data)
        webhook, secret = services.create_webhook(actor=actor_of(request), project_id=project_id, **given)
        return with_secret(request, webhook, secret, status=201)


class WebhookDetail(WorkspaceView):
    """One webhook."""

    permissions = {"GET": Permission.WEBHOOK_READ, "PATCH": Permission.WEBHOOK_MANAGE, "DELETE": Permission.WEBHOOK_MANAGE}

    @extend_schema(summary="Show a webhook", responses=WebhookOutput, examples=[SHOWN])
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """Show a webhook and how its receiver does."""
        return Response(WebhookOutput(services.visible_webhook(actor_of(request), webhook_id), context={"request": request}).data)

    @extend_schema(
        summary="Change a webhook",
        description="Another address and activation begin anew: nothing is held against the receiver any more.",
        request=WebhookChange,
        responses=WebhookOutput,
        examples=[OpenApiExample("Activate", {"active": True}, request_only=True), SHOWN],
    )
    def patch(self, request: Request, webhook_id: UUID) -> Response:
        """Change a webhook."""
        webhook = services.update_webhook(actor=actor_of(request), webhook_id=webhook_id, **validated(WebhookChange, request.data))
        return Response(WebhookOutput(webhook, context={"request": request}).data)

    @extend_schema(summary="Delete a webhook", description="With all its deliveries.", responses={204: None})
    def delete(self, request: Request, webhook_id: UUID) -> HttpResponse:
        """Delete a webhook."""
        services.delete_webhook(actor=actor_of(request), webhook_id=webhook_id)
        return no_content()


class WebhookRotation(WorkspaceView):
    """The secret of a webhook."""

    permissions = {"POST": Permission.WEBHOOK_MANAGE}

    @extend_schema(
        summary="Give a webhook a new secret",
        description="The answer tells it, once. For 24 hours each delivery is signed with the former one too, so that the receiver can change over.",
        request=None,
        responses=SecretWebhookOutput,
        examples=[OpenApiExample("Rotated", examples.WITH_SECRET, response_only=True)],
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Rotate."""
        webhook, secret = services.rotate_secret(actor=actor_of(request), webhook_id=webhook_id)
        return with_secret(request, webhook, secret, status=200)


class WebhookPing(WorkspaceView):
    """A test of a webhook."""

    permissions = {"POST": Permission.WEBHOOK_MANAGE}

    @extend_schema(
        summary="Send a test event",
        description="`webhook.ping`, whatever the webhook listens to. The delivery tells what came of it.",
        request=None,
        responses={202: DeliveryOutput},
        examples=[OpenApiExample("On its way", examples.WAITING, response_only=True, status_codes=["202"])],
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Ping."""
        delivery = services.ping_webhook(actor=actor_of(request), webhook_id=webhook_id)
        return Response(DeliveryOutput(delivery, context={"request": request}).data, status=202)


class WebhookReplay(WorkspaceView):
    """Dead deliveries of a webhook."""

    permissions = {"POST": Permission.WEBHOOK_MANAGE}

    @extend_schema(
        summary="Send dead deliveries of a webhook again",
        description="The oldest first, 5000 at a time: call it again while `left` is not 0.",
        request=None,
        responses={202: ReplayOutput},
        examples=[OpenApiExample("Again", {"replayed": 5000, "left": 812}, response_only=True, status_codes=["202"])],
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Replay."""
        count, left = services.replay_dead(actor=actor_of(request), webhook_id=webhook_id)
        return Response(ReplayOutput({"replayed": count, "left": left}).data, status=202)


class WebhookDeliveryList(WorkspaceView):
    """Deliveries of a webhook."""

    permissions = {"GET": Permission.WEBHOOK_READ}

    @extend_schema(
        summary="List deliveries of a webhook",
        description="Newest first. Delivered ones are kept for 7 days, dead ones for 30.",
        parameters=[STATE, TYPE],
        responses=page_of(DeliveryOutput),
        examples=[page_example(examples.DELIVERY)],
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """List deliveries."""
        webhook = services.visible_webhook(actor_of(request), webhook_id)
        rows = Delivery.objects.filter(webhook=webhook).order_by("-sequence")
        return paged(self, exact_filters(request, rows, state="state", type="type"), DeliveryOutput)


class WebhookDeliveryDetail(WorkspaceView):
    """One delivery."""

    permissions = {"GET": Permission.WEBHOOK_READ}

    @extend_schema(
        summary="Show a delivery", responses=DeliveryOutput, examples=[OpenApiExample("Dead", examples.DELIVERY, response_only=True)]
    )
    def get(self, request: Request, delivery_id: UUID) -> Response:
        """Show a delivery."""
        return Response(DeliveryOutput(services.visible_delivery(actor_of(request), delivery_id), context={"request": request}).data)


class WebhookDeliveryReplay(WorkspaceView):
    """Sending a delivery again."""

    permissions = {"POST": Permission.WEBHOOK_MANAGE}

    @extend_schema(
        summary="Send a delivery again",
        description="One that has ended, whichever way. Its event keeps its id: a receiver that has had it can tell.",
        request=None,
        responses={202: DeliveryOutput},
        examples=[OpenApiExample("On its way", examples.WAITING, response_only=True, status_codes=["202"])],
    )
    def post(self, request: Request, delivery_id: UUID) -> Response:
        """Replay."""
        delivery = services.replay_delivery(actor=actor_of(request), delivery_id=delivery_id)
        return Response(DeliveryOutput(delivery, context={"request": request}).data, status=202)
