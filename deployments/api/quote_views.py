"""The route of quotes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.views import WorkspaceView, validated
from controlplane.workspaces.permissions import Permission
from deployments.api.quote_serializers import QuoteOutput, QuoteQuery
from deployments.quotes import quote_deployment

QUOTE: dict[str, Any] = {
    "provider": "AWS",
    "region": "FRANCE",
    "flavour": "CLUSTER",
    "size": "XS",
    "product": "AWS CLUSTER XS",
    "backend": "local",
    "min_replicas": 1,
    "price": {"micro_credits": 4770, "unit": "s", "credits_per_second": "0.00477"},
    "micro_credits_an_hour": 17_172_000,
    "credits_an_hour": "17.172",
    "run_ms": 1000,
    "micro_credits_a_thousand_runs": 0,
    "credits_a_thousand_runs": "0",
    "reserved": 4_293_000,
    "available": 500_000_000,
    "missing": 0,
    "plan": "free",
    "in_plan": True,
    "deployments_left": 1,
    "can_start": True,
    "refusals": [],
    "lasts_until_now": None,
    "lasts_until": "2026-03-03T14:07:01.802936Z",
    "runs_left": None,
}


class NamespaceQuote(WorkspaceView):
    """A quote."""

    permissions = {"GET": Permission.DEPLOYMENT_CREATE}

    @extend_schema(
        summary="Price a deployment before it is made",
        description="What it would cost by the hour or by the run, whether it could start now and what stands in its way, and how long the credits "
        "would last with it, every grant counted until its end. Changes nothing.",
        parameters=[QuoteQuery],
        responses=QuoteOutput,
        examples=[OpenApiExample("An instance on the free plan", QUOTE, response_only=True)],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """Quote."""
        query = validated(QuoteQuery, request.query_params)
        return Response(QuoteOutput(quote_deployment(actor=actor_of(request), namespace_id=namespace_id, **query)).data)
