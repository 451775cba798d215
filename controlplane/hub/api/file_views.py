"""Routes of what is uploaded for an algorithm: packages and the demo workflow."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.http import FileResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import exact_filters, paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView, validated
from controlplane.common.lookup import visible_or_404
from controlplane.hub.api.delivery import ZIP, zip_response
from controlplane.hub.api.examples import DEMO, PACKAGE
from controlplane.hub.api.forms import fields_of, refuse_large
from controlplane.hub.api.serializers import DemoWorkflowInput, DemoWorkflowOutput, PackageInput, PackageOutput
from controlplane.hub.models import DemoWorkflow, Package
from controlplane.hub.services import visible_algorithm
from controlplane.hub.uploads import add_package, set_demo_workflow
from controlplane.workspaces.permissions import Permission

SMALLER = "Leave data and weights out of it that the run does not need."
FORM_BYTES = 64 * 1024


class PackageList(WorkspaceView):
    """Packages of an algorithm."""

    permissions = {"GET": Permission.ALGORITHM_READ, "POST": Permission.ALGORITHM_EDIT}
    parser_classes = [MultiPartParser]
    replies_in_transaction = False

    @extend_schema(
        summary="List packages of an algorithm",
        description="The newest of each platform; with `tag` that one, also when a newer one came for its platform.",
        parameters=[OpenApiParameter("tag", str, description="Exact tag, such as v3.")],
        responses=page_of(PackageOutput),
        examples=[page_example(PACKAGE)],
    )
    def get(self, request: Request, algorithm_id: UUID) -> Response:
        """List packages, the newest last."""
        packages = visible_algorithm(actor_of(request), algorithm_id).packages.order_by("number")
        tag = request.query_params.get("tag")
        if not tag:
            return paged(self, packages.filter(retired=False), PackageOutput)
        number = tag.removeprefix("v")
        wanted = packages.filter(number=int(number)) if number.isascii() and number.isdigit() and len(number) < 9 else packages.none()
        return paged(self, wanted, PackageOutput)

    @extend_schema(
        summary="Upload a package",
        description="A zip with the plugin's files at its root, among them `<name>.py` and `<name>_process.py`. It is the newest of its platform.",
        request={"multipart/form-data": PackageInput},
        responses={201: PackageOutput},
        examples=[OpenApiExample("Uploaded", PACKAGE, response_only=True, status_codes=["201"])],
    )
    def post(self, request: Request, algorithm_id: UUID) -> Response:
        """Upload a package."""
        refuse_large(request, settings.PUSH_MAX_BYTES + FORM_BYTES, SMALLER)
        fields = validated(PackageInput, fields_of(request))
        package = add_package(actor=actor_of(request), algorithm_id=algorithm_id, **fields)
        return Response(PackageOutput(package, context={"request": request}).data, status=201)


class PackageDetail(WorkspaceView):
    """One package."""

    permissions = {"GET": Permission.ALGORITHM_READ}

    @extend_schema(summary="Show a package", responses=PackageOutput, examples=[OpenApiExample("Package", PACKAGE, response_only=True)])
    def get(self, request: Request, algorithm_id: UUID, package_id: UUID) -> Response:
        """Show a package."""
        return Response(PackageOutput(visible_package(request, algorithm_id, package_id), context={"request": request}).data)


class PackageDownload(WorkspaceView):
    """The zip of a package."""

    permissions = {"GET": Permission.ALGORITHM_READ}

    @extend_schema(summary="Download a package", responses=ZIP)
    def get(self, request: Request, algorithm_id: UUID, package_id: UUID) -> FileResponse:
        """Stream the zip."""
        package = visible_package(request, algorithm_id, package_id)
        return zip_response(package.key, f"{package.algorithm.name}-{package.tag}.zip")


class DemoWorkflowList(WorkspaceView):
    """The demo workflow of an algorithm."""

    permissions = {"GET": Permission.ALGORITHM_READ, "POST": Permission.ALGORITHM_EDIT}
    parser_classes = [MultiPartParser]
    replies_in_transaction = False

    @extend_schema(
        summary="List the demo workflow of an algorithm",
        parameters=[OpenApiParameter("name", str, description="Exact name.")],
        responses=page_of(DemoWorkflowOutput),
        examples=[page_example(DEMO)],
    )
    def get(self, request: Request, algorithm_id: UUID) -> Response:
        """List none or one."""
        algorithm = visible_algorithm(actor_of(request), algorithm_id)
        rows = DemoWorkflow.objects.filter(algorithm=algorithm).order_by("name")
        return paged(self, exact_filters(request, rows, name="name"), DemoWorkflowOutput)

    @extend_schema(
        summary="Upload a demo workflow",
        description="A workflow archive as a push has it, with a task of this algorithm. It takes the place of the one before.",
        request={"multipart/form-data": DemoWorkflowInput},
        responses={201: DemoWorkflowOutput},
        examples=[OpenApiExample("Uploaded", DEMO, response_only=True, status_codes=["201"])],
    )
    def post(self, request: Request, algorithm_id: UUID) -> Response:
        """Upload a demo workflow."""
        refuse_large(request, settings.PUSH_MAX_BYTES + FORM_BYTES, SMALLER)
        archive = validated(DemoWorkflowInput, request.data)["archive"]
        demo = set_demo_workflow(actor=actor_of(request), algorithm_id=algorithm_id, archive=archive)
        return Response(DemoWorkflowOutput(demo, context={"request": request}).data, status=201)


class DemoWorkflowDetail(WorkspaceView):
    """A demo workflow."""

    permissions = {"GET": Permission.ALGORITHM_READ}

    @extend_schema(
        summary="Show a demo workflow", responses=DemoWorkflowOutput, examples=[OpenApiExample("Demo", DEMO, response_only=True)]
    )
    def get(self, request: Request, algorithm_id: UUID, demo_id: UUID) -> Response:
        """Show a demo workflow."""
        return Response(DemoWorkflowOutput(visible_demo(request, algorithm_id, demo_id), context={"request": request}).data)


class DemoWorkflowArchive(WorkspaceView):
    """The archive of a demo workflow."""

    permissions = {"GET": Permission.ALGORITHM_READ}

    @extend_schema(summary="Download a demo workflow", responses=ZIP)
    def get(self, request: Request, algorithm_id: UUID, demo_id: UUID) -> FileResponse:
        """Stream the archive."""
        demo = visible_demo(request, algorithm_id, demo_id)
        return zip_response(demo.archive_key, f"{demo.name}.zip")


def visible_package(request: Request, algorithm_id: UUID, package_id: UUID) -> Package:
    """Return a package that the caller sees. Raises `NotFound`."""
    rows = Package.objects.visible_to(actor_of(request)).select_related("algorithm")
    found: Package = visible_or_404(rows, pk=package_id, algorithm_id=algorithm_id)
    return found


def visible_demo(request: Request, algorithm_id: UUID, demo_id: UUID) -> DemoWorkflow:
    """Return a demo workflow that the caller sees. Raises `NotFound`."""
    found: DemoWorkflow = visible_or_404(DemoWorkflow.objects.visible_to(actor_of(request)), pk=demo_id, algorithm_id=algorithm_id)
    return found
