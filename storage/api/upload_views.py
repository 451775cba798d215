"""Routes of direct uploads: the bytes go to the object store, the service signs, looks and decides."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.api.pagination import Page
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import no_content, validated
from controlplane.workspaces.permissions import Permission
from storage.api.authentication import access_of
from storage.api.base import TAGS, StorageView
from storage.api.examples import OBJECT
from storage.api.serializers import ObjectOutput, object_data
from storage.api.upload_examples import ASKED_PARTS, ASKED_PUT, BEGUN_PARTS, BEGUN_PUT, FAILED, PARTS, RECEIVED, UPLOAD_PUT, VERIFYING
from storage.api.upload_serializers import (
    SIGNED_AT_ONCE,
    BegunOutput,
    CompleteInput,
    PartNumbersInput,
    PartsOutput,
    UploadDetailOutput,
    UploadInput,
    UploadOutput,
    parts_data,
    received_data,
    request_data,
    upload_data,
)
from storage.bucket import Part
from storage.direct import (
    abort_upload,
    begin_direct_upload,
    complete_upload,
    direct_upload,
    received_parts,
    signed_parts,
    signed_request,
    writable_upload,
)
from storage.errors import no_object
from storage.media import checked_content_type
from storage.models import Upload, UploadKind, UploadState
from storage.parts import count_parts
from storage.uploads import Wanted

RETRY_SECONDS = 1


class DirectView(StorageView):
    """A view of direct uploads."""

    parser_classes = (JSONParser,)


class Uploads(DirectView):
    """Direct uploads of the token's project."""

    permissions = dict.fromkeys(("GET", "POST"), Permission.STORAGE_USE)

    @extend_schema(tags=TAGS, summary="List direct uploads", responses=page_of(UploadOutput), examples=[page_example(UPLOAD_PUT)])
    def get(self, request: Request) -> Response:
        """List uploads under way, and those that ended within a day, newest first."""
        rows = Upload.objects.visible_to(access_of(request)).select_related("result").order_by("-id")
        pages = Page()
        return pages.get_paginated_response([upload_data(row) for row in pages.paginate_queryset(rows, request, self) or []])

    @extend_schema(
        tags=TAGS,
        summary="Begin a direct upload",
        request=UploadInput,
        responses={201: BegunOutput},
        examples=[
            OpenApiExample("One request", ASKED_PUT, request_only=True),
            OpenApiExample("In parts", ASKED_PARTS, request_only=True),
            OpenApiExample("One request, begun", BEGUN_PUT, response_only=True, status_codes=["201"]),
            OpenApiExample("In parts, begun", BEGUN_PARTS, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Reserve the room and get addresses of the object store that take exactly these bytes; send them there, then complete."""
        access = access_of(request)
        access.check_may_write()
        data = validated(UploadInput, request.data)
        kind = UploadKind(data.pop("method"))
        content_type, sha256 = checked_content_type(data.pop("content_type")), (data.pop("sha256") or "").lower()
        upload = begin_direct_upload(access, Wanted(content_type=content_type, sha256=sha256, **data), kind=kind)
        first = range(1, min(count_parts(upload), SIGNED_AT_ONCE) + 1) if kind is UploadKind.MULTIPART else ()
        parts = parts_data(signed_parts(upload, first)) if first else []
        return Response({**upload_data(upload), "request": request_data(signed_request(upload)), "parts": parts}, status=201)


class UploadDetail(DirectView):
    """One direct upload."""

    permissions = dict.fromkeys(("GET", "DELETE"), Permission.STORAGE_USE)

    @extend_schema(
        tags=TAGS,
        summary="See a direct upload",
        responses=UploadDetailOutput,
        examples=[
            OpenApiExample("Failed", {**FAILED, "received": []}, response_only=True),
            OpenApiExample("Open", {**BEGUN_PARTS, "received": RECEIVED}, response_only=True),
        ],
    )
    def get(self, request: Request, upload_id: UUID) -> Response:
        """See its state, what it came to, and which parts have arrived."""
        upload = direct_upload(access_of(request), upload_id)
        return Response({**upload_data(upload), "received": received_data(received_parts(upload))})

    @extend_schema(tags=TAGS, summary="Abort a direct upload", responses={204: None})
    def delete(self, request: Request, upload_id: UUID) -> HttpResponse:
        """Drop what has arrived and give the room back."""
        abort_upload(access_of(request), upload_id)
        return no_content()


class UploadParts(DirectView):
    """Addresses of parts."""

    permissions = {"POST": Permission.STORAGE_USE}

    @extend_schema(
        tags=TAGS,
        summary="Get addresses for parts",
        request=PartNumbersInput,
        responses={200: PartsOutput},
        examples=[
            OpenApiExample("Parts", {"numbers": [1, 2, 3]}, request_only=True),
            OpenApiExample("Addresses", {"parts": PARTS}, response_only=True, status_codes=["200"]),
        ],
    )
    def post(self, request: Request, upload_id: UUID) -> Response:
        """Sign addresses for up to 100 parts; a part may be sent again as long as the upload is open."""
        upload = writable_upload(access_of(request), upload_id)
        numbers = validated(PartNumbersInput, request.data)["numbers"]
        return Response({"parts": parts_data(signed_parts(upload, numbers))})


class UploadComplete(DirectView):
    """The end of a direct upload."""

    permissions = {"POST": Permission.STORAGE_USE}

    @extend_schema(
        tags=TAGS,
        summary="Complete a direct upload",
        request=CompleteInput,
        responses={201: ObjectOutput, 202: UploadOutput},
        examples=[
            OpenApiExample("All that has arrived", {}, request_only=True),
            OpenApiExample("Named parts", {"parts": [{"number": 1, "etag": RECEIVED[0]["etag"]}]}, request_only=True),
            OpenApiExample("Object", OBJECT, response_only=True, status_codes=["201"]),
            OpenApiExample("Being verified", VERIFYING, response_only=True, status_codes=["202"]),
        ],
    )
    def post(self, request: Request, upload_id: UUID) -> Response:
        """Make the object: at once, or (202) after a worker has read what came in parts; then ask for the upload until it is done."""
        access = access_of(request)
        writable_upload(access, upload_id)
        parts = validated(CompleteInput, request.data).get("parts")
        told = None if parts is None else [Part(part["number"], part["etag"]) for part in parts]
        upload = complete_upload(access, upload_id, told)
        if upload.state != UploadState.DONE:
            return Response(upload_data(upload), status=202, headers={"Retry-After": str(RETRY_SECONDS)})
        if upload.result is None:
            raise no_object("of this upload any more: it was deleted")
        return Response(object_data(upload.result), status=201)
