"""Routes of objects, links and totals."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.api.parsers import PlainJSONParser
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import validated
from controlplane.common.errors import InvalidInput
from controlplane.workspaces.permissions import Permission
from storage.api.authentication import access_of
from storage.api.base import TAGS, StorageView
from storage.api.examples import INFOS, LINK, OBJECT, TEMPORARY
from storage.api.receive import flag
from storage.api.serializers import DeletedOutput, InfosOutput, LinkInput, LinkOutput, ObjectOutput, UploadForm, object_data
from storage.api.uploading import UploadingView
from storage.errors import no_object
from storage.models import StoredObject
from storage.paths import searchable
from storage.querysets import StoredObjectQuerySet
from storage.services import delete_everything, delete_object, delete_objects, presign_download, visible_object
from storage.space import space_use

EXACT = OpenApiParameter("exact", bool, description="The object at this very path alone.")
FORM = {"multipart/form-data": UploadForm}


class Objects(UploadingView):
    """Objects of the token's project."""

    permissions = dict.fromkeys(("GET", "POST", "DELETE"), Permission.STORAGE_USE)

    @extend_schema(
        tags=TAGS,
        summary="List objects",
        parameters=[
            OpenApiParameter("uid", OpenApiTypes.UUID, description="The object with this uid."),
            OpenApiParameter("sha256", str, description="Objects whose bytes have this hash."),
        ],
        responses=page_of(ObjectOutput),
        examples=[page_example(OBJECT)],
    )
    def get(self, request: Request) -> Response:
        """List all objects, oldest first."""
        return self.answer_page(narrowed(request, StoredObject.objects.visible_to(access_of(request))).order_by("id"))

    @extend_schema(
        tags=TAGS,
        summary="Upload a temporary object",
        request=FORM,
        responses={201: ObjectOutput},
        examples=[OpenApiExample("Object", TEMPORARY, response_only=True, status_codes=["201"])],
    )
    def post(self, request: Request) -> Response:
        """Store a file, or copy an object, without a path: it is deleted after an hour."""
        return Response(object_data(self.receive(request, None)), status=201)

    @extend_schema(
        tags=TAGS,
        summary="Delete one object by its uid, or all",
        parameters=[
            OpenApiParameter("uid", OpenApiTypes.UUID, description="The object with this uid."),
            OpenApiParameter("all", bool, description="Everything in the project's storage."),
        ],
        responses={200: DeletedOutput, 404: OpenApiResponse(description="There is no such object.")},
        examples=[OpenApiExample("Deleted", {"deleted": 1}, response_only=True, status_codes=["200"])],
    )
    def delete(self, request: Request) -> Response:
        """Delete the object with a uid (temporary ones have no path), or everything."""
        access = access_of(request)
        access.check_may_write()
        if uid := request.query_params.get("uid"):
            delete_object(access, given_uid(uid))
            return Response({"deleted": 1})
        if not flag(request.query_params, "all"):
            raise InvalidInput(
                "path", "Name what to delete: a path, ?uid=<uid>, or ?all=true for everything.", fields={"path": ["missing"]}
            )
        return Response({"deleted": delete_everything(access)})


class ObjectsAt(UploadingView):
    """Objects at a path or below it."""

    permissions = dict.fromkeys(("GET", "POST", "PUT", "DELETE"), Permission.STORAGE_USE)

    @extend_schema(
        tags=TAGS,
        summary="List objects by path",
        parameters=[EXACT],
        responses=page_of(ObjectOutput),
        examples=[page_example(OBJECT)],
    )
    def get(self, request: Request, path: str) -> Response:
        """List objects whose path begins with this text, by their paths; with `exact` the one at this path."""
        rows = narrowed(request, StoredObject.objects.visible_to(access_of(request)))
        if not searchable(path):
            rows = rows.none()
        rows = rows.filter(path=path) if flag(request.query_params, "exact") else rows.below(path)
        return self.answer_page(rows.order_by("path"))

    @extend_schema(
        tags=TAGS,
        summary="Upload an object",
        request=FORM,
        responses={201: ObjectOutput},
        examples=[OpenApiExample("Object", OBJECT, response_only=True, status_codes=["201"])],
    )
    def post(self, request: Request, path: str) -> Response:
        """Store a file, or copy an object, at a path where there is none."""
        return Response(object_data(self.receive(request, path)), status=201)

    @extend_schema(
        tags=TAGS,
        summary="Upload or overwrite an object",
        request=FORM,
        responses={201: ObjectOutput},
        examples=[OpenApiExample("Object", OBJECT, response_only=True, status_codes=["201"])],
    )
    def put(self, request: Request, path: str) -> Response:
        """Store a file, or copy an object, at a path; what is there is replaced when all bytes have arrived, and keeps its uid."""
        return Response(object_data(self.receive(request, path, overwrite=True)), status=201)

    @extend_schema(
        tags=TAGS,
        summary="Delete objects by path",
        parameters=[EXACT],
        responses={200: DeletedOutput, 404: OpenApiResponse(description="There is no such object.")},
        examples=[OpenApiExample("Deleted", {"deleted": 12}, response_only=True, status_codes=["200"])],
    )
    def delete(self, request: Request, path: str) -> Response:
        """Delete the object at a path and all below it as a folder; with `exact` only the one."""
        access = access_of(request)
        access.check_may_write()
        if not searchable(path):
            raise no_object("at such a path")
        return Response({"deleted": delete_objects(access, path, exact=flag(request.query_params, "exact"))})


class DownloadLink(StorageView):
    """A link to an object."""

    permissions = {"PUT": Permission.STORAGE_USE}
    parser_classes = (FormParser, MultiPartParser, PlainJSONParser)

    @extend_schema(
        tags=TAGS,
        summary="Make a link that works without a token",
        request=LinkInput,
        responses=LinkOutput,
        examples=[OpenApiExample("Link", LINK, response_only=True)],
    )
    def put(self, request: Request, object_id: UUID) -> Response:
        """Sign an address at which anyone can download the object until `expire_at`."""
        access = access_of(request)
        visible_object(access, object_id)
        expire_at = validated(LinkInput, request.data)["expire_at"]
        return Response({"presigned_download_url": presign_download(access, object_id, expire_at=expire_at)})


class Infos(StorageView):
    """Totals."""

    permissions = {"GET": Permission.STORAGE_USE}

    @extend_schema(
        tags=TAGS,
        summary="See how much is stored",
        responses=InfosOutput,
        examples=[OpenApiExample("Totals", INFOS, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        """Count objects and bytes of the token's project."""
        use = space_use(access_of(request).project_id)
        return Response(
            {
                "count": use.count,
                "used_bytes": use.used_bytes,
                "total_bytes": use.quota_bytes,
                "reserved_bytes": use.reserved_bytes,
                "anonymous_objects": {"count": use.temporary_count, "used_bytes": use.temporary_bytes},
            }
        )


def narrowed(request: Request, rows: StoredObjectQuerySet) -> StoredObjectQuerySet:
    """Filter by `uid` and `sha256` if they are given; what cannot be one finds nothing."""
    query = request.query_params
    if "uid" in query:
        try:
            rows = rows.filter(pk=UUID(query["uid"]))
        except ValueError:
            return rows.none()
    if "sha256" in query:
        digest = query["sha256"].lower()
        return rows.filter(sha256=digest) if digest.isalnum() and digest.isascii() else rows.none()
    return rows


def given_uid(text: str) -> UUID:
    """Return a uid. Raises `NotFound` for what is none."""
    try:
        return UUID(text)
    except ValueError as error:
        raise no_object("with such a uid") from error
