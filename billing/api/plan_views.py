"""Routes of plans and quotas."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.access import billed_workspace
from billing.allowances import allowance_of
from billing.api import plan_examples as examples
from billing.api.plan_serializers import ListedPlanOutput, QuotasOutput
from billing.plans import own_plan, plans_to_show
from billing.quotas import quota_uses
from controlplane.accounts.api.actors import actor_of
from controlplane.api.views import Access, WorkspaceView
from controlplane.workspaces.permissions import Permission


class PlanList(WorkspaceView):
    """What can be bought."""

    permissions = {"GET": Access.SIGNED_IN}

    @extend_schema(
        summary="List plans",
        description="Plans that can be chosen, and the one that your own workspace is on, by rank.",
        responses=ListedPlanOutput(many=True),
        examples=[OpenApiExample("A plan", examples.PLAN, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """List plans."""
        own = own_plan(actor_of(request).pk)
        return Response(ListedPlanOutput(plans_to_show(own), many=True, context={"current": own.pk if own else None}).data)


class NamespaceQuotas(WorkspaceView):
    """What a workspace may have, and has."""

    permissions = {"GET": Permission.BILLING_READ}

    @extend_schema(
        summary="Show quotas",
        description="Of the whole workspace that the namespace is part of. What is above a limit stays and works; only what is new is refused.",
        responses=QuotasOutput,
        examples=[OpenApiExample("Quotas", examples.QUOTAS, response_only=True)],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """Show each quota with its use."""
        wallet = billed_workspace(actor_of(request), Permission.BILLING_READ, namespace_id).wallet
        allowance = allowance_of(wallet)
        told = {
            "plan": allowance.plan.code if allowance.plan else None,
            "calls_a_minute": allowance.calls_a_minute,
            "quotas": quota_uses(wallet),
        }
        return Response(QuotasOutput(told).data)
