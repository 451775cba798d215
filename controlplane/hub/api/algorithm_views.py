"""Routes of the algorithms of workspaces."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import FileResponse, HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.accounts.models import User
from controlplane.api.pagination import exact_filters
from controlplane.api.parsers import PlainJSONParser
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView, no_content, validated
from controlplane.hub.api.delivery import PICTURE, icon_response
from controlplane.hub.api.examples import ALGORITHM, HUB_ALGORITHM, NEW_ALGORITHM, PUBLISH, PUBLISHED
from controlplane.hub.api.forms import fields_of, refuse_large
from controlplane.hub.api.pages import long_paged
from controlplane.hub.api.serializers import (
    AlgorithmChange,
    AlgorithmInput,
    AlgorithmOutput,
    HubAlgorithmOutput,
    PublishInput,
    PublishOutput,
)
from controlplane.hub.icons import MAX_BYTES
from controlplane.hub.models import Algorithm, HubAlgorithm
from controlplane.hub.publishing import publish_algorithm, publish_information
from controlplane.hub.selectors import LISTED_CHARACTERS, with_current, with_packages
from controlplane.hub.services import create_algorithm, delete_algorithm, update_algorithm, visible_algorithm
from controlplane.workspaces.api.member_views import MemberDetailView, MemberListView, TargetView
from controlplane.workspaces.permissions import Permission
from controlplane.workspaces.services import visible_namespace

NAME = OpenApiParameter("name", str, description="Exact name.")
SEARCH = OpenApiParameter("q", str, description='Words in names, keywords and descriptions; "phrases", OR and -words work. Best first.')
NAMESPACE = OpenApiParameter("namespace", str, description="Path of the parent.")
CUT = f"A `description` of more than {LISTED_CHARACTERS:,} characters is cut, but for the one algorithm of a `name`."
MAX_FORM_BYTES = 4 * 1024 * 1024
# The same body as JSON, or as a form with an icon.
CHANGE: Any = {"application/json": AlgorithmChange, "multipart/form-data": AlgorithmChange}
INPUT: Any = {"application/json": AlgorithmInput, "multipart/form-data": AlgorithmInput}


class AlgorithmList(WorkspaceView):
    """Algorithms that the caller sees."""

    permissions = {"GET": Permission.ALGORITHM_READ}

    @extend_schema(
        summary="List algorithms",
        description="The private HUB: algorithms of the caller's workspaces, and public ones. `packages` has the newest of each platform. "
        f"{CUT}",
        parameters=[NAME, SEARCH, NAMESPACE],
        responses=page_of(AlgorithmOutput),
        examples=[page_example(ALGORITHM)],
    )
    def get(self, request: Request) -> Response:
        """List algorithms, oldest first, or the best matches of a search."""
        return listed(self, Algorithm.objects.visible_to(actor_of(request)))


class NamespaceAlgorithmList(WorkspaceView):
    """Algorithms of one namespace."""

    permissions = {"GET": Permission.ALGORITHM_READ, "POST": Permission.ALGORITHM_CREATE}
    parser_classes = [PlainJSONParser, MultiPartParser]
    replies_in_transaction = False

    @extend_schema(
        summary="List algorithms of a namespace",
        description=CUT,
        parameters=[NAME, SEARCH],
        responses=page_of(AlgorithmOutput),
        examples=[page_example(ALGORITHM)],
    )
    def get(self, request: Request, namespace_id: UUID) -> Response:
        """List algorithms of a namespace."""
        actor = actor_of(request)
        namespace = visible_namespace(actor, namespace_id)
        return listed(self, Algorithm.objects.visible_to(actor).filter(namespace=namespace))

    @extend_schema(
        summary="Add an algorithm",
        description="JSON, or a form with an `icon` and lists and objects as parts of JSON. What it says of its platform is the default of packages.",
        request=INPUT,
        responses={201: AlgorithmOutput},
        examples=[
            OpenApiExample("New", NEW_ALGORITHM, request_only=True),
            OpenApiExample("Added", ALGORITHM, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request, namespace_id: UUID) -> Response:
        """Add an algorithm."""
        fields = told(request, AlgorithmInput)
        algorithm = create_algorithm(actor=actor_of(request), namespace_id=namespace_id, **fields)
        return Response(row(request, algorithm), status=201)


class AlgorithmDetail(WorkspaceView):
    """One algorithm."""

    permissions = {"GET": Permission.ALGORITHM_READ, "PUT": Permission.ALGORITHM_EDIT, "DELETE": Permission.ALGORITHM_DELETE}
    parser_classes = [PlainJSONParser, MultiPartParser]
    replies_in_transaction = False

    @extend_schema(
        summary="Show an algorithm", responses=AlgorithmOutput, examples=[OpenApiExample("Algorithm", ALGORITHM, response_only=True)]
    )
    def get(self, request: Request, algorithm_id: UUID) -> Response:
        """Show an algorithm."""
        return Response(row(request, visible_algorithm(actor_of(request), algorithm_id)))

    @extend_schema(
        summary="Change an algorithm",
        description="All but its name, which is the name of the plugin. JSON, or a form with an `icon`.",
        request=CHANGE,
        responses=AlgorithmOutput,
        examples=[
            OpenApiExample("Show to the team", {"visibility": "TEAM"}, request_only=True),
            OpenApiExample("Algorithm", ALGORITHM, response_only=True),
        ],
    )
    def put(self, request: Request, algorithm_id: UUID) -> Response:
        """Change an algorithm."""
        changes = told(request, AlgorithmChange)
        return Response(row(request, update_algorithm(actor=actor_of(request), algorithm_id=algorithm_id, **changes)))

    @extend_schema(
        summary="Delete an algorithm",
        description="With its packages. Refused while workflows were built with one of them. What was published stays.",
        responses={204: None},
    )
    def delete(self, request: Request, algorithm_id: UUID) -> HttpResponse:
        """Delete an algorithm."""
        delete_algorithm(actor=actor_of(request), algorithm_id=algorithm_id)
        return no_content()


class AlgorithmIcon(WorkspaceView):
    """The icon of an algorithm."""

    permissions = {"GET": Permission.ALGORITHM_READ}

    @extend_schema(summary="Show the icon of an algorithm", description="PNG, JPEG, GIF or WebP.", responses=PICTURE)
    def get(self, request: Request, algorithm_id: UUID) -> FileResponse:
        """Stream the icon."""
        algorithm = visible_algorithm(actor_of(request), algorithm_id)
        return icon_response(algorithm.icon_key, algorithm.icon_type, public=False)


class AlgorithmPublish(WorkspaceView):
    """Publishing an algorithm."""

    permissions = {"GET": Permission.ALGORITHM_READ, "PUT": Permission.ALGORITHM_PUBLISH}

    @extend_schema(
        summary="Show what can be published next",
        responses=PublishOutput,
        examples=[OpenApiExample("After 1.1.0", PUBLISHED, response_only=True)],
    )
    def get(self, request: Request, algorithm_id: UUID) -> Response:
        """Show licence and next versions."""
        return Response(publish_information(actor=actor_of(request), algorithm_id=algorithm_id))

    @extend_schema(
        summary="Publish an algorithm to the public HUB",
        description="As it is now, with the newest package of each platform; versions never change. Operators allow workspaces to publish.",
        request=PublishInput,
        responses=HubAlgorithmOutput,
        examples=[
            OpenApiExample("Publication", PUBLISH, request_only=True),
            OpenApiExample("Published", HUB_ALGORITHM, response_only=True),
        ],
    )
    def put(self, request: Request, algorithm_id: UUID) -> Response:
        """Publish."""
        hub = publish_algorithm(actor=actor_of(request), algorithm_id=algorithm_id, **validated(PublishInput, request.data))
        published = with_current(HubAlgorithm.objects).get(pk=hub.pk)
        return Response(HubAlgorithmOutput(published, context={"request": request}).data)


class OnAlgorithm(TargetView):
    """Members of an algorithm."""

    route = "algorithm-member"

    def target(self, actor: User, **keys: UUID) -> Algorithm:
        """Return the algorithm."""
        return visible_algorithm(actor, keys["algorithm_id"])


class AlgorithmMemberList(OnAlgorithm, MemberListView):
    """Members of an algorithm."""


class AlgorithmMemberDetail(OnAlgorithm, MemberDetailView):
    """One member of an algorithm."""


def listed(view: WorkspaceView, rows: Any) -> Response:
    """Answer a page of algorithms, filtered as the query says."""
    request: Request = view.request
    text = request.query_params.get("q")
    rows = rows.matching(text) if text else rows.order_by("created_at")
    rows = exact_filters(request, with_packages(rows), name="name", namespace="namespace__path")
    return long_paged(view, rows, AlgorithmOutput, "description")


def row(request: Request, algorithm: Algorithm) -> Any:
    """Return an algorithm as the wire has it."""
    return AlgorithmOutput(with_packages(Algorithm.objects).get(pk=algorithm.pk), context={"request": request}).data


def told(request: Request, serializer: type[AlgorithmChange]) -> dict[str, Any]:
    """Return the checked fields of a body, with the bytes of the icon."""
    refuse_large(request, MAX_FORM_BYTES, "Send packages to packages/, and a smaller icon.")
    fields = validated(serializer, fields_of(request))
    icon = fields.pop("icon", None)
    return fields if icon is None else {**fields, "icon": icon.read(MAX_BYTES + 1)}
