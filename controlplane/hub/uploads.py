"""Files of an algorithm: packages for platforms, the demo workflow, and the record of which workflows were built with a package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import transaction
from packaging.version import Version

from controlplane.accounts.models import User
from controlplane.common.errors import InvalidInput
from controlplane.common.ids import uuid7
from controlplane.common.lookup import visible_or_404
from controlplane.hub.files import discard, stored
from controlplane.hub.models import Algorithm, DemoWorkflow, Package, PackageUse
from controlplane.hub.package_check import check_package
from controlplane.hub.platforms import next_minor, platform_key
from controlplane.hub.selectors import FoundPackage
from controlplane.hub.services import lock_algorithm, visible_algorithm
from controlplane.projects.archive import ArchiveLimits, CheckedArchive, check_archive
from controlplane.projects.archive.wording import quoted
from controlplane.projects.models import WorkflowVersion
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.trail import note


def add_package(*, actor: User, algorithm_id: UUID, file: BinaryIO, **platform: Any) -> Package:
    """Check a package, store it, and make it the newest for its platform; the one before is retired.

    What `platform` does not tell comes from what the plugin told when the algorithm was added. Raises `InvalidInput` with what is wrong.
    """
    algorithm = visible_algorithm(actor, algorithm_id)
    require(actor, Permission.ALGORITHM_EDIT, algorithm)
    checked = check_package(file, name=algorithm.name, limits=upload_limits())
    package_id = uuid7()
    key = f"packages/{package_id}.zip"
    made = Package(id=package_id, algorithm=algorithm, key=key, sha256=checked.sha256, size=checked.size, language=algorithm.language)
    for field, value in {**told_by_plugin(algorithm), **platform}.items():
        setattr(made, field, value)
    refuse_empty_range(made.ikomia_min_version, made.ikomia_max_version, "ikomia_max_version")
    refuse_empty_range(made.python_min_version, made.python_max_version, "python_max_version")
    made.os = made.os or ["LINUX", "WINDOWS"]
    made.platform_key = platform_key(made)
    with stored(key, file, content_type="application/zip"), transaction.atomic():
        locked = lock_algorithm(algorithm.pk)
        newest = locked.packages.order_by("-number").values_list("number", flat=True).first() or 0
        locked.packages.filter(platform_key=made.platform_key, retired=False).update(retired=True)
        made.number = newest + 1
        made.save(force_insert=True)
        locked.save(update_fields=["updated_at"])
        note(actor, "algorithm.package", locked, workspace=locked.workspace_id, tag=made.tag, sha256=made.sha256, platform=made.platform)
    return made


def told_by_plugin(algorithm: Algorithm) -> dict[str, Any]:
    """Return the platform that the plugin itself names; its maxima are the last versions that it supports, so one minor more is excluded."""
    told: dict[str, Any] = algorithm.defaults
    maxima = {field: next_minor(told[field]) for field in ("ikomia_max_version", "python_max_version") if told.get(field)}
    return {**told, **maxima}


def refuse_empty_range(lowest: str, below: str, field: str) -> None:
    """Raise `InvalidInput` for a range that no version is in."""
    if lowest and below and Version(below) <= Version(lowest):
        raise InvalidInput(
            "platform",
            f"No version is at least {lowest} and below {below}. '{field}' is exclusive.",
            fields={field: [f"not above {lowest}"]},
        )


def set_demo_workflow(*, actor: User, algorithm_id: UUID, archive: BinaryIO) -> DemoWorkflow:
    """Check the archive of a workflow that uses the algorithm and make it its demo workflow, in place of the one before."""
    algorithm = visible_algorithm(actor, algorithm_id)
    require(actor, Permission.ALGORITHM_EDIT, algorithm)
    checked = check_archive(archive, limits=upload_limits())
    refuse_other_demo(algorithm, checked)
    key = f"demos/{uuid7()}.zip"
    with stored(key, archive, content_type="application/zip"), transaction.atomic():
        locked = lock_algorithm(algorithm.pk)
        before = DemoWorkflow.objects.filter(algorithm=locked).values_list("archive_key", flat=True).first()
        fields = {
            "name": checked.name,
            "description": checked.description,
            "data": checked.data,
            "archive_key": key,
            "archive_sha256": checked.sha256,
            "archive_size": checked.size,
        }
        demo, _ = DemoWorkflow.objects.update_or_create(algorithm=locked, defaults=fields)
        note(actor, "algorithm.demo", locked, workspace=locked.workspace_id, workflow=checked.name, sha256=checked.sha256)
    discard([before or ""])
    return demo


def refuse_other_demo(algorithm: Algorithm, checked: CheckedArchive) -> None:
    """Raise `InvalidInput` for a demo workflow without the algorithm."""
    used = {task["task_data"]["name"] for task in checked.data["tasks"]}
    if algorithm.name not in used:
        raise InvalidInput(
            "demo_without_algorithm",
            f"The workflow {quoted(checked.name)} has no task {quoted(algorithm.name)}. Upload one that shows the algorithm at work.",
        )


def record_uses(*, version: WorkflowVersion, found: Iterable[FoundPackage]) -> None:
    """Note the private packages that a workflow version's bundle was made with, so that they stay; safe to repeat.

    Call it in the transaction that records the bundle. Raises `NotFound` when a package was deleted meanwhile: look it up and build again.
    Published packages stay anyway.
    """
    with transaction.atomic():
        for one in sorted(found, key=lambda one: one.package_id):
            if one.source == "private":
                package = visible_or_404(Package.objects.select_for_update(no_key=True), pk=one.package_id)
                PackageUse.objects.get_or_create(package=package, version=version)


def upload_limits() -> ArchiveLimits:
    """Return how much an upload may hold."""
    return ArchiveLimits(archive_bytes=settings.PUSH_MAX_BYTES)
