"""Routes of spend caps."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.access import billed_workspace
from billing.api import ledger_examples as examples
from billing.api.cap_serializers import CapChange, CapInput, CapOutput
from billing.caps import change_cap, remove_cap, set_cap, shown_caps
from billing.models import SpendCap
from controlplane.accounts.api.actors import actor_of
from controlplane.api.fields import absolute_url
from controlplane.api.pagination import Page
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView, no_content, validated
from controlplane.common.lookup import visible_or_404
from controlplane.workspaces.permissions import Permission

SHOWN = OpenApiExample("A cap", examples.CAP, response_only=True, status_codes=["200"])


def with_urls(request: Request, namespace_id: UUID, caps: list[SpendCap]) -> list[dict[str, Any]]:
    """Return caps with their addresses, as the wire has them."""
    shown = [{**cap, "url": absolute_url(request, "billing-cap", namespace_id=namespace_id, cap_id=cap["id"])} for cap in shown_caps(caps)]
    return [dict(row) for row in CapOutput(shown, many=True).data]


class BillingCapList(WorkspaceView):
    """Spend caps of a workspace."""

    permissions = {"GET": Permission.BILLING_READ, "POST": Permission.BILLING_MANAGE}

    @extend_schema(summary="List spend caps", responses=page_of(CapOutput), examples=[page_example(examples.CAP)])
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """List caps, oldest first."""
        billed = billed_workspace(actor_of(request), Permission.BILLING_READ, namespace_id)
        pages = Page()
        found = pages.paginate_queryset(SpendCap.objects.filter(wallet=billed.wallet).order_by("id"), request, self) or []
        return pages.get_paginated_response(with_urls(request, namespace_id, found))

    @extend_schema(
        summary="Set a spend cap",
        description="At 50, 80 and 100 % the owners get a mail; at 100 % no run is accepted and no instance stays up until the cap is raised or "
        "removed, or the next month begins. Instances are suspended, and wait to be resumed then.",
        request=CapInput,
        responses={201: CapOutput},
        examples=[
            OpenApiExample("100 credits a month", examples.NEW_CAP, request_only=True),
            OpenApiExample("Set", examples.CAP, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Set a cap."""
        given = validated(CapInput, request.data)
        cap = set_cap(actor=actor_of(request), namespace_id=namespace_id, deployment_id=given.pop("deployment"), **given)
        return Response(with_urls(request, namespace_id, [cap])[0], status=201)


class BillingCapDetail(WorkspaceView):
    """One spend cap."""

    permissions = {"GET": Permission.BILLING_READ, "PUT": Permission.BILLING_MANAGE, "DELETE": Permission.BILLING_MANAGE}

    @extend_schema(summary="Show a spend cap", responses=CapOutput, examples=[SHOWN])
    def get(self, request: Request, namespace_id: UUID, cap_id: UUID) -> Response:
        """Show a cap and how far it is used."""
        billed = billed_workspace(actor_of(request), Permission.BILLING_READ, namespace_id)
        cap = visible_or_404(SpendCap.objects.all(), wallet=billed.wallet, pk=cap_id)
        return Response(with_urls(request, namespace_id, [cap])[0])

    @extend_schema(
        summary="Change the amount of a spend cap",
        description="If the new amount leaves room, endpoints take runs again at once. Instances that it suspended wait to be resumed.",
        request=CapChange,
        responses=CapOutput,
        examples=[OpenApiExample("150 credits", {"amount": 150_000_000}, request_only=True), SHOWN],
    )
    def put(self, request: Request, namespace_id: UUID, cap_id: UUID) -> Response:
        """Change a cap."""
        given = validated(CapChange, request.data)
        cap = change_cap(actor=actor_of(request), namespace_id=namespace_id, cap_id=cap_id, **given)
        return Response(with_urls(request, namespace_id, [cap])[0])

    @extend_schema(
        summary="Remove a spend cap",
        description="Endpoints take runs again at once. Instances that it suspended wait to be resumed.",
        responses={204: None},
    )
    def delete(self, request: Request, namespace_id: UUID, cap_id: UUID) -> HttpResponse:
        """Remove a cap."""
        remove_cap(actor=actor_of(request), namespace_id=namespace_id, cap_id=cap_id)
        return no_content()
