"""The route that hands out bytes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request

from controlplane.api.views import Access
from storage.api.authentication import StorageTokenAuthentication
from storage.api.base import TAGS, StorageView
from storage.api.uploading import free_connection
from storage.delivery import NotSatisfiable, Span, asked_span, deliver, etag_of, headers_of, signature_holds
from storage.errors import link_over
from storage.models import StoredObject
from storage.services import visible_object


class AnyType(BaseContentNegotiation):
    """What is stored is sent as it is, whatever types a client would rather have."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Return the first parser."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        """Return the first renderer, for refusals."""
        return renderers[0], renderers[0].media_type


class ObjectContent(StorageView):
    """The bytes of an object."""

    permissions = {"GET": Access.ANYONE, "HEAD": Access.ANYONE}
    authentication_classes = ()
    content_negotiation_class = AnyType

    @extend_schema(
        tags=TAGS,
        summary="Download an object",
        parameters=[
            OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="One range of bytes: `bytes=0-1023`."),
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="The ETag of a version that you have."),
            OpenApiParameter("expires", int, description="Of a signed link."),
            OpenApiParameter("signature", str, description="Of a signed link; then no token is needed."),
        ],
        responses={
            (200, "*/*"): OpenApiTypes.BINARY,
            (206, "*/*"): OpenApiTypes.BINARY,
            304: OpenApiResponse(description="You have this version."),
            412: OpenApiResponse(description="It is not the version that you named."),
            416: OpenApiResponse(description="The range begins behind the end."),
        },
        auth=["storageToken"],
    )
    def get(self, request: Request, object_id: UUID) -> HttpResponseBase:
        """Answer the bytes, all or a range, unless the caller has them already."""
        stored = self.stored(request, object_id)
        whole = Span(0, stored.size - 1)
        unchanged = get_conditional_response(request._request, etag_of(stored), int(stored.updated_at.timestamp()), None)
        if unchanged is not None:
            set_headers(unchanged, stored)
            return unchanged
        try:
            span = asked_span(stored, request.headers.get("Range"), request.headers.get("If-Range"))
        except NotSatisfiable:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{stored.size}"}, content_type="text/plain")
        body = iter(()) if request.method == "HEAD" else deliver(stored, span or whole)
        free_connection()
        answer = StreamingHttpResponse(body, status=206 if span else 200)
        set_headers(answer, stored)
        answer["Content-Length"] = str((span or whole).length)
        if span:
            answer["Content-Range"] = f"bytes {span.first}-{span.last}/{stored.size}"
        return answer

    def stored(self, request: Request, object_id: UUID) -> StoredObject:
        """Return the object for who holds a signed link or a token. Raises `NotAuthenticated`, `NotFound`."""
        query = request.query_params
        if "signature" in query:
            found = StoredObject.objects.live().filter(pk=object_id).first()
            if found is None or not signature_holds(found, query.get("expires", ""), query["signature"]):
                raise link_over()
            return found
        access, _ = StorageTokenAuthentication().authenticate(request)
        return visible_object(access, object_id)


def set_headers(answer: HttpResponseBase, stored: StoredObject) -> None:
    """Set what every answer of a delivery says."""
    for name, value in headers_of(stored).items():
        answer[name] = value
    answer["ETag"] = etag_of(stored)
