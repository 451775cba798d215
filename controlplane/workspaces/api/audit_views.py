"""Routes of the audit log: owners read that of their workspaces, operators all."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import exact_filters, paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView
from controlplane.audit.selectors import entries, json_lines
from controlplane.workspaces.api.examples import AUDIT
from controlplane.workspaces.api.serializers import AuditOutput
from controlplane.workspaces.permissions import Permission
from controlplane.workspaces.selectors import audited_chains

FILTERS = [
    OpenApiParameter("chain", UUID, description="Id of an organization, or of a user for their personal workspace."),
    OpenApiParameter("actor", str, description="Exact user name."),
    OpenApiParameter("action", str, description="Such as `member.give`."),
    OpenApiParameter("target", str, description="Exact id of an object."),
]


class AuditList(WorkspaceView):
    """The audit log."""

    permissions = {"GET": Permission.AUDIT_READ}

    @extend_schema(
        summary="Read the audit log",
        description="Newest first: of the workspaces that the caller owns; operators read all.",
        parameters=FILTERS,
        responses=page_of(AuditOutput),
        examples=[page_example(AUDIT)],
    )
    def get(self, request: Request) -> Response:
        """List lines."""
        return paged(self, wanted(request).order_by("-at", "-sequence"), AuditOutput)


class AuditExport(WorkspaceView):
    """The audit log as JSON lines."""

    permissions = {"GET": Permission.AUDIT_READ}

    @extend_schema(
        summary="Export the audit log",
        description="One JSON object a line, in the order of each chain.",
        parameters=FILTERS,
        responses={(200, "application/x-ndjson"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """Stream all lines."""
        answer = StreamingHttpResponse(json_lines(wanted(request).order_by("chain", "sequence")), content_type="application/x-ndjson")
        answer["Content-Disposition"] = 'attachment; filename="audit.jsonl"'
        return answer


def wanted(request: Request) -> QuerySet[Any]:
    """Return the lines that the caller may read and asks for."""
    rows = entries(audited_chains(actor_of(request)))
    if (chain := request.query_params.get("chain")) and not is_uuid(chain):
        return rows.none()
    return exact_filters(request, rows, chain="chain", actor="actor_name", action="action", target="target")


def is_uuid(text: str) -> bool:
    """Tell whether a text is a UUID."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
