"""Routes of payments: pages of Stripe's to send people to, changes of the subscription, invoices, and Stripe's webhook."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api import stripe_examples as examples
from billing.api.stripe_serializers import (
    CheckoutInput,
    InvoiceOutput,
    PageOutput,
    PlanChoice,
    PortalInput,
    ReceiptOutput,
    SubscriptionOutput,
)
from billing.models import Invoice
from billing.stripe.buying import open_portal, start_checkout
from billing.stripe.changes import cancel_subscription, change_plan, reactivate_subscription
from billing.stripe.events import receive_event
from billing.stripe.workspaces import paying_workspace
from billing.wallets import wallet_of
from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import paged
from controlplane.api.parsers import SignedJSONParser
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import Access, WorkspaceView, validated
from controlplane.workspaces.permissions import Permission

AWAY: dict[Any, Any] = {503: OpenApiResponse(description="`payments_unavailable`: Stripe does not answer now. Try again in a minute.")}
REFUSED: dict[Any, Any] = {402: OpenApiResponse(description="`card_refused`: nothing has changed."), **AWAY}
LEAVING = OpenApiExample("Cancelling", examples.SUBSCRIPTION, response_only=True)
GOING_ON = OpenApiExample("Active", examples.ACTIVE, response_only=True)


class BillingChange(WorkspaceView):
    """A change that Stripe is asked for: never inside a transaction."""

    permissions = {"POST": Permission.BILLING_MANAGE}
    replies_in_transaction = False


class CheckoutView(BillingChange):
    """Buying a plan."""

    @extend_schema(
        summary="Buy a plan",
        description="Answers with a pay page of Stripe's. The plan and its credits come when it is paid. Pay pages that were open before are closed. "
        "409 `payments_not_configured` where the operator grants credits, `already_subscribed` where the plan is to be changed instead.",
        request=CheckoutInput,
        responses={200: PageOutput, **AWAY},
        examples=[
            OpenApiExample("Starter", {"plan": "starter-monthly"}, request_only=True),
            OpenApiExample("Pay page", examples.PAGE, response_only=True),
        ],
        tags=["billing"],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Start a checkout."""
        given = validated(CheckoutInput, request.data)
        plan = given.pop("plan")
        return Response({"url": start_checkout(actor=actor_of(request), namespace_id=namespace_id, plan_code=plan, **given)})


class PortalView(BillingChange):
    """Stripe's portal."""

    @extend_schema(
        summary="Open the billing portal",
        description="A page of Stripe's with invoices, payment methods and cancelling. 409 `no_subscription` before the first checkout.",
        request=PortalInput,
        responses={200: PageOutput, **AWAY},
        examples=[
            OpenApiExample("Back to here", {"return_url": "http://127.0.0.1:8000/settings/"}, request_only=True),
            OpenApiExample("Portal", examples.PORTAL, response_only=True),
        ],
        tags=["billing"],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Open the portal."""
        given = validated(PortalInput, request.data)
        return Response({"url": open_portal(actor=actor_of(request), namespace_id=namespace_id, **given)})


class PlanChangeView(BillingChange):
    """Another plan."""

    @extend_schema(
        summary="Change the plan",
        description="The new plan is paid in full and its credits come at once; credits of the old plan stay valid, and it brings no more. Its "
        "period begins now. A card that is refused changes nothing.",
        request=PlanChoice,
        responses={200: SubscriptionOutput, **REFUSED},
        examples=[OpenApiExample("Pro", {"plan": "pro-monthly"}, request_only=True), GOING_ON],
        tags=["billing"],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Change the plan."""
        plan = validated(PlanChoice, request.data)["plan"]
        return Response(SubscriptionOutput(change_plan(actor=actor_of(request), namespace_id=namespace_id, plan_code=plan)).data)


class CancelView(BillingChange):
    """The end of a subscription."""

    @extend_schema(
        summary="Cancel the subscription",
        description="It ends with the period that is paid; credits stay valid. A personal workspace is on the Free plan then.",
        request=None,
        responses={200: SubscriptionOutput, **AWAY},
        examples=[LEAVING],
        tags=["billing"],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Cancel."""
        return Response(SubscriptionOutput(cancel_subscription(actor=actor_of(request), namespace_id=namespace_id)).data)


class ReactivateView(BillingChange):
    """Staying."""

    @extend_schema(
        summary="Keep a subscription that was cancelled",
        description="Before its period ends. After that, 409 `no_subscription`: it takes a new checkout.",
        request=None,
        responses={200: SubscriptionOutput, **AWAY},
        examples=[GOING_ON],
        tags=["billing"],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Reactivate."""
        return Response(SubscriptionOutput(reactivate_subscription(actor=actor_of(request), namespace_id=namespace_id)).data)


class InvoiceList(WorkspaceView):
    """Invoices."""

    permissions = {"GET": Permission.BILLING_READ}

    @extend_schema(
        summary="List invoices",
        description="Newest first, as Stripe has told of them.",
        responses=page_of(InvoiceOutput),
        examples=[page_example(examples.INVOICE)],
        tags=["billing"],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """List invoices."""
        root = paying_workspace(actor_of(request), namespace_id, Permission.BILLING_READ)
        return paged(self, Invoice.objects.filter(wallet=wallet_of(root)).order_by("-issued_at", "-pk"), InvoiceOutput)


class StripeWebhook(WorkspaceView):
    """Where Stripe sends its events: its signature is what lets it in."""

    permissions = {"POST": Access.ANYONE}
    authentication_classes = ()
    parser_classes = (SignedJSONParser,)

    @extend_schema(
        summary="Take an event of Stripe's",
        description="For Stripe alone: signed with the endpoint's secret, at most five minutes ago. Events are stored once and acted on afterwards.",
        parameters=[OpenApiParameter("Stripe-Signature", str, OpenApiParameter.HEADER, description="`t=…,v1=…`")],
        request=OpenApiTypes.OBJECT,
        responses={200: ReceiptOutput},
        examples=[
            OpenApiExample("Event", {"id": "evt_1", "object": "event", "type": "invoice.paid"}, request_only=True),
            OpenApiExample("Stored", {"received": True}, response_only=True),
        ],
        auth=[],
        tags=["billing"],
    )
    def post(self, request: Request) -> Response:
        """Store an event."""
        given: Any = request.data
        return Response({"received": receive_event(body=given.get("signed", b""), signature=request.headers.get("Stripe-Signature", ""))})
