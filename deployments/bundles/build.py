"""Building: archive → checked requirements → tar → object store → Bundle row with its log."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import transaction

from controlplane.common.errors import NotFound
from controlplane.common.objectstore import object_store
from controlplane.hub.uploads import record_uses
from controlplane.projects.models import WorkflowVersion
from deployments.bundles.algorithms import SPOOL_BYTES, Taken, open_package, take_algorithms
from deployments.bundles.layer import WORKFLOW, Source, write_layer
from deployments.bundles.requirements import check_requirements, installed_in, wanted_by_plugins
from deployments.checkpoints import checkpoint
from deployments.errors import BuildFailed
from deployments.models import Bundle


@dataclass(slots=True)
class BuildLog:
    """The lines of a build: [milliseconds since 1970, level, message]."""

    lines: list[list[int | str]] = field(default_factory=list)

    def note(self, message: str, level: str = "INFO") -> None:
        """Add a line."""
        self.lines.append([time.time_ns() // 1_000_000, level, message])


def bundle_key(digest: str) -> str:
    """Return where a bundle lies in the object store."""
    return f"bundles/{digest}.tar"


def built_bundle(version: WorkflowVersion) -> Bundle | None:
    """Return the version's bundle if it has been built."""
    found: Bundle | None = Bundle.objects.filter(version=version).exclude(digest="").first()
    return found


def build_bundle(version: WorkflowVersion) -> Bundle:
    """Build a version and keep the log, whatever comes of it.

    Raises BuildFailed; `Unavailable` when the object store is down and `NotFound` when a package was deleted meanwhile: then try again.
    """
    log = BuildLog()
    log.note(f"Building {version.workflow.name} {version.tag} (archive {version.archive_sha256[:12]}, {version.archive_size} bytes)")
    try:
        digest, size, taken = build(version, log.note)
    except BuildFailed as error:
        log.note(str(error), "ERROR")
        record(version, log, digest="", size=0, algorithms=[], reason_code=error.reason.code, reason_detail=error.reason.detail)
        raise
    checkpoint("bundle_stored")
    with transaction.atomic():
        algorithms = [one.recorded() for one in taken]
        bundle = record(version, log, digest=digest, size=size, algorithms=algorithms, reason_code="", reason_detail="")
        record_uses(version=version, found=[one.package for one in taken])
    checkpoint("bundle_recorded")
    return bundle


def record(version: WorkflowVersion, log: BuildLog, **fields: Any) -> Bundle:
    """Write the Bundle row; a build that was made twice gives the same row."""
    return Bundle.objects.update_or_create(version=version, defaults={"log": log.lines, **fields})[0]


def build(version: WorkflowVersion, note: Callable[..., None]) -> tuple[str, int, list[Taken]]:
    """Make and store the tar; return its digest, its size and what was taken from the HUB for it."""
    with contextlib.ExitStack() as stack:
        layer = stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES))
        archive = stack.enter_context(open_archive(version, stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES))))
        taken = take_algorithms(version, note)
        sources = [Source(archive), *(Source(stack.enter_context(open_package(one, stack)), one.name) for one in taken)]
        check_plugins(sources, note)
        digest, size = write_layer(sources, layer, named_workflow(archive, version))
        note(f"Bundle {digest[:12]}: {size} bytes")
        if object_store().exists(bundle_key(digest)):
            note("The object store has this bundle already")
        else:
            layer.seek(0)
            object_store().put_file(bundle_key(digest), layer, content_type="application/x-tar")
            note("Stored")
    return digest, size, taken


def open_archive(version: WorkflowVersion, spool: IO[bytes]) -> zipfile.ZipFile:
    """Fetch the archive into `spool` and open it."""
    try:
        with object_store().open_stream(version.archive_key) as stream:
            while data := stream.read(1024 * 1024):
                spool.write(data)
        return zipfile.ZipFile(spool)
    except NotFound as error:
        raise BuildFailed("ARCHIVE_MISSING", "The archive of this version is not in the object store any more.") from error
    except zipfile.BadZipFile as error:
        raise BuildFailed("BAD_ARCHIVE", f"The archive cannot be read: {error}") from error


def named_workflow(archive: zipfile.ZipFile, version: WorkflowVersion) -> bytes | None:
    """Return workflow.json with the name that the push gave it, or None when the archive's own has one: clients read the name."""
    try:
        document = json.loads(archive.read(WORKFLOW))
    except (KeyError, ValueError, zipfile.BadZipFile):
        return None
    if (document.get("metadata") or {}).get("name"):
        return None
    return json.dumps(version.data, sort_keys=True).encode()


def check_plugins(sources: Sequence[Source], note: Callable[..., None]) -> None:
    """Compare what the plugins ask for with the runtime's environment."""
    wanted = wanted_by_plugins(sources)
    for item in wanted:
        note(f"Plugin {item.plugin} needs {item.requirement}")
    installed = installed_in(Path(settings.RUNTIME_PYTHON))
    if installed is None:
        note(f"The runtime's environment is not on this machine ({settings.RUNTIME_PYTHON}): requirements are not checked", "WARNING")
    else:
        check_requirements(wanted, installed)
        note(f"{len(wanted)} requirements of plugins met")
