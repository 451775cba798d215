"""The route of exports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from billing.access import billed_workspace
from billing.api import ledger_examples as examples
from billing.api.ledger_fields import PeriodQuery, wanted_charges
from billing.exports import KINDS, exported
from controlplane.accounts.api.actors import actor_of
from controlplane.api.fields import ChoiceField
from controlplane.api.views import WorkspaceView, validated
from controlplane.workspaces.permissions import Permission

TYPES = {"csv": "text/csv; charset=utf-8; header=present", "json": "application/json"}
NOT_IN_A_FILE_NAME = re.compile(r"[^A-Za-z0-9._-]+")


class ExportQuery(PeriodQuery):
    """What to export, and how it is written."""

    kind = ChoiceField(choices=list(KINDS), default="charges")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add the field that would hide a name of Python's."""
        return {**super().get_fields(), "format": ChoiceField(choices=list(TYPES), default="csv")}


class FormatIsOurs(DefaultContentNegotiation):
    """`format` says how the file is written. Refusals are JSON in any case."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the only renderer there is, whatever the query or the Accept header ask for."""
        [renderer] = renderers
        return renderer, renderer.media_type or ""


class BillingExport(WorkspaceView):
    """The bill as a file."""

    permissions = {"GET": Permission.BILLING_READ}
    content_negotiation_class = FormatIsOurs

    @extend_schema(
        summary="Export charges, sums by day, or lines of invoices",
        description="Oldest first, all of it in one answer, however long. CSV is as RFC 4180 says; texts that a spreadsheet would compute have an "
        "apostrophe first. JSON is an array with an object a line. `project` and `deployment` do not narrow invoices.",
        parameters=[ExportQuery],
        examples=[OpenApiExample("Charges", [examples.CHARGE], response_only=True, media_type="application/json", status_codes=["200"])],
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/json"): OpenApiTypes.ANY},
    )
    def get(self, request: Request, namespace_id: UUID) -> StreamingHttpResponse:
        """Stream the file."""
        billed = billed_workspace(actor_of(request), Permission.BILLING_READ, namespace_id)
        query = validated(ExportQuery, request.query_params)
        kind, form = query["kind"], query["format"]
        answer = StreamingHttpResponse(exported(billed.wallet.pk, wanted_charges(query), kind=kind, form=form), content_type=TYPES[form])
        name = "-".join(filter(None, ("slipway", kind, NOT_IN_A_FILE_NAME.sub("-", billed.root.path), query.get("month"))))
        answer["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
        answer["Cache-Control"] = "no-store"
        return answer
