"""Routes of the ledger: how a workspace stands, its grants, and each line of its bill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from billing.access import billed_workspace
from billing.api import ledger_examples as examples
from billing.api.ledger_fields import wanted_charges
from billing.api.ledger_serializers import (
    BalanceOutput,
    BalanceQuery,
    ChargeOutput,
    ChargesQuery,
    EntriesQuery,
    EntryOutput,
    GrantOutput,
    GrantsQuery,
    SummaryOutput,
)
from billing.models import EntryKind, Wallet
from billing.selectors import balance_shown, entry_shown, grant_shown, grants_of, other_entries, summary_of
from billing.selectors_charges import charges_of, day_lines, days_of, lines_of
from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import Page
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView, validated
from controlplane.common import clock
from controlplane.workspaces.permissions import Permission

Shown = Callable[[Sequence[Any]], list[dict[str, Any]]]


class BillingView(WorkspaceView):
    """What managers and owners of a workspace read of its wallet."""

    permissions = {"GET": Permission.BILLING_READ}

    def wallet(self, namespace_id: UUID) -> Wallet:
        """Return the wallet of the workspace that a namespace belongs to."""
        return billed_workspace(actor_of(self.request), Permission.BILLING_READ, namespace_id).wallet

    def page(self, rows: QuerySet[Any], shown: Shown, serializer: type[BaseSerializer[Any]]) -> Response:
        """Answer one page of rows, made readable together."""
        pages = Page()
        found = pages.paginate_queryset(rows, self.request, self) or []
        return pages.get_paginated_response(serializer(shown(found), many=True).data)


class BillingSummary(BillingView):
    """How a workspace stands."""

    @extend_schema(
        summary="Show balance and plan of a workspace",
        description="Of the workspace that the namespace belongs to. Sums are whole micro-credits, millionths of a credit.",
        responses=SummaryOutput,
        examples=[OpenApiExample("One instance runs", examples.SUMMARY, response_only=True)],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """Show the summary."""
        return Response(SummaryOutput(summary_of(self.wallet(namespace_id))).data)


class BillingBalance(BillingView):
    """The balance at a moment."""

    @extend_schema(
        summary="Show the balance at a moment",
        description="Of the past as it was: what was valid then and not yet spent. Of the future as it will be if nothing more is spent.",
        parameters=[BalanceQuery],
        responses=BalanceOutput,
        examples=[OpenApiExample("At the end of February", examples.BALANCE, response_only=True)],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """Show a balance."""
        wallet = self.wallet(namespace_id)
        at = validated(BalanceQuery, request.query_params).get("at") or clock.now()
        return Response(BalanceOutput(balance_shown(wallet, at)).data)


class BillingGrants(BillingView):
    """Grants of a workspace."""

    @extend_schema(
        summary="List grants",
        description="Credits and free runs that came in, newest first. The one that ends first is spent first.",
        parameters=[GrantsQuery],
        responses=page_of(GrantOutput),
        examples=[page_example(examples.GRANT)],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """List grants."""
        wallet = self.wallet(namespace_id)
        rows = grants_of(wallet.pk, valid=validated(GrantsQuery, request.query_params)["valid"])
        return self.page(rows, lambda found: [grant_shown(one) for one in found], GrantOutput)


class BillingCharges(BillingView):
    """The lines of a workspace's bill."""

    @extend_schema(
        summary="List charges",
        description="Newest first, each with what it is for, the rate, the quantity and the grants that paid it; `since` and `until` are compared "
        "with its start. `by=day` sums by deployment, price and day.",
        parameters=[ChargesQuery],
        responses=page_of(ChargeOutput),
        examples=[page_example(examples.CHARGE)],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """List charges."""
        wallet = self.wallet(namespace_id)
        query = validated(ChargesQuery, request.query_params)
        wanted = wanted_charges(query)
        if query["by"] == "day":
            return self.page(days_of(wallet.pk, wanted), day_lines, ChargeOutput)
        return self.page(charges_of(wallet.pk, wanted), lines_of, ChargeOutput)


class BillingEntries(BillingView):
    """What happened to a wallet beside charges."""

    @extend_schema(
        summary="List grants, corrections and what was taken back",
        description="As entries of the ledger, newest first; charges have a list of their own.",
        parameters=[EntriesQuery],
        responses=page_of(EntryOutput),
        examples=[page_example(examples.ENTRY)],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """List entries."""
        rows = other_entries(self.wallet(namespace_id).pk)
        kind = validated(EntriesQuery, request.query_params).get("kind")
        if kind == "CORRECTION":
            rows = rows.filter(reverses__isnull=False)
        elif kind:
            rows = rows.filter(kind=EntryKind(kind), reverses=None)
        return self.page(rows, lambda found: [entry_shown(one) for one in found], EntryOutput)
