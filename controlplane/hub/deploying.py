"""Deploy from the public HUB: the demo workflow of a published algorithm, with its package inside, added to a project."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, cast
from uuid import UUID

from controlplane.accounts.models import User
from controlplane.common.errors import Conflict
from controlplane.common.lookup import visible_or_404
from controlplane.common.objectstore import object_store
from controlplane.hub.models import HubAlgorithm, HubPackage, HubVersion
from controlplane.hub.platforms import fits, runtime
from controlplane.projects.models import Workflow
from controlplane.projects.services import push_workflow, visible_project
from controlplane.workspaces.permissions import Permission, require

SPOOL_BYTES = 32 * 1024 * 1024
PIECE = 1024 * 1024
WORKFLOW_FILE = "workflow.json"


def deploy_demo(*, actor: User, hub_id: UUID, project_id: UUID) -> Workflow:
    """Push the demo workflow of the newest version to a project, as the actor would. Raises as a push does, and `Conflict` without a demo."""
    hub: HubAlgorithm = visible_or_404(HubAlgorithm.objects.visible_to(actor).select_related("current"), pk=hub_id)
    project = visible_project(actor, project_id)
    require(actor, Permission.WORKFLOW_PUSH, project)
    version, package = deployable(hub)
    with fetched(version.demo_key) as demo, fetched(package.key) as plugin, tempfile.SpooledTemporaryFile(SPOOL_BYTES) as packed:
        join(demo, plugin, packed, hub.name)
        packed.seek(0)
        return push_workflow(actor=actor, project_id=project.pk, archive=cast("BinaryIO", packed))


def deployable(hub: HubAlgorithm) -> tuple[HubVersion, HubPackage]:
    """Return the newest version and its newest package that runtimes can load. Raises `Conflict` when there is no such thing."""
    version = hub.current
    if version is None or not version.demo_key:
        raise Conflict("no_demo", f"'{hub.name}' was published without a demo workflow. Use it in a workflow of your own, and push that.")
    platform = runtime()
    for package in version.packages.order_by("-number"):
        if fits(package, platform):
            return version, package
    raise Conflict("no_package", f"{version.version} of '{hub.name}' has no package for what deployments run: {platform}.")


@contextmanager
def fetched(key: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip of the object store."""
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        with object_store().open_stream(key) as stream:
            copy(stream, spool)
        with zipfile.ZipFile(spool) as opened:
            yield opened


def join(demo: zipfile.ZipFile, plugin: zipfile.ZipFile, target: IO[bytes], name: str) -> None:
    """Write a push: the demo workflow and its other plugins, and the published package as the algorithm's folder.

    Of what the demo brought in that folder only data files remain that the package lacks: parameters may name them.
    """
    ours = {f"{name}/{info.filename}": info for info in plugin.infolist() if not info.is_dir()}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(WORKFLOW_FILE, json.dumps(pointed(json.loads(demo.read(WORKFLOW_FILE)), name)))
        for info in demo.infolist():
            inside = info.filename.startswith(f"{name}/")
            wanted = info.filename not in ours and (not inside or info.filename.startswith(f"{name}/data/"))
            if wanted and info.filename != WORKFLOW_FILE and not info.is_dir():
                with demo.open(info) as source, made.open(info.filename, "w", force_zip64=True) as copied:
                    copy(source, copied)
        for path, info in ours.items():
            with plugin.open(info) as source, made.open(path, "w", force_zip64=True) as copied:
                copy(source, copied)


def pointed(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a workflow whose tasks of this algorithm use the folder in the archive."""
    for task in document["tasks"]:
        if task["task_data"]["name"] == name:
            task["task_data"]["url"] = f"file://{name}"
    return document


def copy(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy a stream in pieces."""
    while piece := source.read(PIECE):
        target.write(piece)
