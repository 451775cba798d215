"""Routes of the public HUB: open to anyone, but for the one that deploys."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import FileResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import exact_filters, paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import Access, WorkspaceView, validated
from controlplane.common.lookup import visible_or_404
from controlplane.hub.api.algorithm_views import CUT, NAME, SEARCH
from controlplane.hub.api.delivery import PICTURE, ZIP, icon_response, zip_response
from controlplane.hub.api.examples import DEPLOY, HUB_ALGORITHM, HUB_PACKAGE, HUB_ROW, HUB_VERSION
from controlplane.hub.api.forms import flag
from controlplane.hub.api.pages import long_paged
from controlplane.hub.api.serializers import DeployInput, HubAlgorithmOutput, HubAlgorithmRow, HubPackageOutput, HubVersionOutput
from controlplane.hub.deploying import deploy_demo
from controlplane.hub.models import HubAlgorithm, HubPackage, HubVersion
from controlplane.hub.selectors import with_current
from controlplane.hub.versions import parse_version
from controlplane.projects.api.examples import WORKFLOW
from controlplane.projects.api.serializers import WorkflowOutput
from controlplane.workspaces.permissions import Permission

FILTERS = [
    NAME,
    SEARCH,
    OpenApiParameter("algo_type", str, description="INFER, TRAIN, DATASET or OTHER."),
    OpenApiParameter("algo_task", str, description="Such as OBJECT_DETECTION."),
    OpenApiParameter("license", str, description="Such as APACHE_20."),
    OpenApiParameter("one_click", bool, description="Those with a demo workflow to deploy, or those without."),
    OpenApiParameter("certification", bool, description="Those that operators have certified, or the others."),
    OpenApiParameter("fields", str, description="`all`: rows as a single algorithm is shown, with packages.", enum=["all"]),
]


class PublicView(WorkspaceView):
    """A view that looks at no credentials: an expired token hides nothing that is public."""

    permissions = {"GET": Access.ANYONE}
    authentication_classes: list[type] = []


class HubList(PublicView):
    """Published algorithms."""

    @extend_schema(
        summary="Browse the public HUB",
        description=f"By name, or the best matches of a search. Without an account. {CUT}",
        parameters=FILTERS,
        responses=page_of(HubAlgorithmRow),
        auth=[],
        examples=[page_example(HUB_ROW)],
    )
    def get(self, request: Request) -> Response:
        """List published algorithms."""
        rows: Any = HubAlgorithm.objects.visible_to(request.user)
        text = request.query_params.get("q")
        rows = filtered(request, rows.matching(text) if text else rows.order_by("name"))
        serializer = HubAlgorithmOutput if request.query_params.get("fields") == "all" else HubAlgorithmRow
        return long_paged(self, with_current(rows), serializer, "current__description")


class HubDetail(PublicView):
    """One published algorithm."""

    @extend_schema(
        summary="Show a published algorithm",
        responses=HubAlgorithmOutput,
        auth=[],
        examples=[OpenApiExample("Published", HUB_ALGORITHM, response_only=True)],
    )
    def get(self, request: Request, hub_id: UUID) -> Response:
        """Show a published algorithm."""
        return Response(HubAlgorithmOutput(published(request, hub_id), context={"request": request}).data)


class HubIcon(PublicView):
    """The icon of a published algorithm."""

    @extend_schema(summary="Show the icon of a published algorithm", description="PNG, JPEG, GIF or WebP.", responses=PICTURE, auth=[])
    def get(self, request: Request, hub_id: UUID) -> FileResponse:
        """Stream the icon."""
        version = published(request, hub_id).current
        return icon_response(version.icon_key, version.icon_type, public=True)


class HubVersionList(PublicView):
    """Versions of a published algorithm."""

    @extend_schema(
        summary="List versions of a published algorithm",
        responses=page_of(HubVersionOutput),
        auth=[],
        examples=[page_example(HUB_VERSION)],
    )
    def get(self, request: Request, hub_id: UUID) -> Response:
        """List versions, newest first."""
        rows = HubVersion.objects.visible_to(request.user).filter(hub=published(request, hub_id)).defer("search")
        return paged(self, rows.order_by("-major", "-minor", "-patch"), HubVersionOutput)


class HubPackageList(PublicView):
    """Packages of a published algorithm."""

    @extend_schema(
        summary="List packages of a published algorithm",
        description="Of all versions, the newest first.",
        parameters=[OpenApiParameter("version", str, description="Exact version.")],
        responses=page_of(HubPackageOutput),
        auth=[],
        examples=[page_example(HUB_PACKAGE)],
    )
    def get(self, request: Request, hub_id: UUID) -> Response:
        """List packages."""
        rows = HubPackage.objects.visible_to(request.user).filter(version__hub=published(request, hub_id)).select_related("version")
        if version := request.query_params.get("version"):
            rows = rows.filter(**{f"version__{part}": number for part, number in parse_version(version)._asdict().items()})
        rows = rows.defer("version__search").order_by("-version__major", "-version__minor", "-version__patch", "-number")
        return paged(self, rows, HubPackageOutput)


class HubPackageDetail(PublicView):
    """One published package."""

    @extend_schema(
        summary="Show a published package",
        responses=HubPackageOutput,
        auth=[],
        examples=[OpenApiExample("Package", HUB_PACKAGE, response_only=True)],
    )
    def get(self, request: Request, hub_id: UUID, package_id: UUID) -> Response:
        """Show a package."""
        return Response(HubPackageOutput(published_package(request, hub_id, package_id), context={"request": request}).data)


class HubPackageDownload(PublicView):
    """The zip of a published package."""

    @extend_schema(summary="Download a published package", responses=ZIP, auth=[])
    def get(self, request: Request, hub_id: UUID, package_id: UUID) -> FileResponse:
        """Stream the zip."""
        package = published_package(request, hub_id, package_id)
        return zip_response(package.key, f"{package.version.name}-{package.version.version}.zip")


class HubDeploy(WorkspaceView):
    """Deployment of a published algorithm."""

    permissions = {"POST": Permission.WORKFLOW_PUSH}
    replies_in_transaction = False

    @extend_schema(
        summary="Add the demo workflow of a published algorithm to a project",
        description="Pushes it as the caller, with the published package inside; a workflow of that name gets a new version. Then deploy it.",
        request=DeployInput,
        responses={201: WorkflowOutput},
        examples=[
            OpenApiExample("Into a project", DEPLOY, request_only=True),
            OpenApiExample("Added", WORKFLOW, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request, hub_id: UUID) -> Response:
        """Add the demo workflow to a project."""
        project_id = validated(DeployInput, request.data)["project"]
        workflow = deploy_demo(actor=actor_of(request), hub_id=hub_id, project_id=project_id)
        return Response(WorkflowOutput(workflow, context={"request": request}).data, status=201)


def filtered(request: Request, rows: Any) -> Any:
    """Narrow published algorithms as the query says."""
    rows = exact_filters(request, rows, name="name", algo_type="current__algo_type", license="current__license")
    if task := request.query_params.get("algo_task", "").replace("\x00", ""):
        rows = rows.filter(current__algo_task__contains=[task.upper()])
    if (one_click := flag(request, "one_click")) is not None:
        rows = rows.exclude(current__demo_key="") if one_click else rows.filter(current__demo_key="")
    if (certified := flag(request, "certification")) is not None:
        rows = rows.filter(certified=certified)
    return rows


def published(request: Request, hub_id: UUID) -> Any:
    """Return a published algorithm. Raises `NotFound`."""
    return visible_or_404(with_current(HubAlgorithm.objects.visible_to(request.user)), pk=hub_id)


def published_package(request: Request, hub_id: UUID, package_id: UUID) -> HubPackage:
    """Return a published package. Raises `NotFound`."""
    rows = HubPackage.objects.visible_to(request.user).select_related("version").defer("version__search")
    found: HubPackage = visible_or_404(rows, pk=package_id, version__hub_id=hub_id)
    return found
