"""Building: archive → base → requirements → tar → object store → Bundle row with its log."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID

from django.conf import settings
from django.db import transaction

from controlplane.common.errors import NotFound, Unavailable
from controlplane.common.objectstore import object_store
from controlplane.hub.uploads import record_uses
from controlplane.projects.models import WorkflowVersion
from deployments.bundles.algorithms import SPOOL_BYTES, Taken, open_package, take_algorithms
from deployments.bundles.bases import Base, asked_by, bases_here, choose_base
from deployments.bundles.build_log import BuildLog, begin_build, show_to_waiting
from deployments.bundles.environment import Environment, runtime_environment
from deployments.bundles.layer import WORKFLOW, Source, write_layer
from deployments.bundles.oci import push_bundle
from deployments.bundles.packages import LOCK, packaged_files, tidy
from deployments.bundles.patience import ticking_through
from deployments.bundles.registry import Registry, RegistryDown, RegistryError
from deployments.bundles.requirements import Wanted, to_install, wanted_by_plugins
from deployments.bundles.resolve import Installer, workshop
from deployments.checkpoints import checkpoint
from deployments.errors import BuildDelayed, BuildFailed, BuildUnwanted
from deployments.models import Bundle, Deployment
from deployments.states import DesiredState, Status

logger = logging.getLogger(__name__)

# Raise it when the same input gives another bundle than before.
FORMAT = 2


@dataclass(frozen=True, slots=True)
class Built:
    """What came of a build; `digest` and `input_digest` are SHA-256, `size` is bytes."""

    digest: str
    size: int
    input_digest: str
    base: Base
    base_note: str
    lock: str
    taken: list[Taken]
    image: str


def bundle_key(digest: str) -> str:
    """Return where a bundle lies in the object store."""
    return f"bundles/{digest}.tar"


def built_bundle(version: WorkflowVersion) -> Bundle | None:
    """Return the version's bundle if it has been built."""
    found: Bundle | None = Bundle.objects.filter(version=version).exclude(digest="").defer("log", "lock").first()
    return found


def build_for_waiting(version_id: UUID) -> None:
    """Build a version for the deployments that wait for it; what comes of it stands in its Bundle, where they look.

    Does nothing when it is built, when another worker builds it, during a pause after a fault, and when nobody waits for it.
    """
    version = WorkflowVersion.objects.select_related("workflow").filter(pk=version_id).first()
    if version is None or built_bundle(version) is not None:
        return

    def wanted() -> None:
        waiting = Deployment.objects.filter(wanted_version=version_id, desired_state=DesiredState.RUNNING)
        if not waiting.exclude(status__in=[Status.ERROR, Status.DELETED]).exists():
            raise BuildUnwanted

    try:
        wanted()
        build_bundle(version, wanted)
    except (BuildFailed, BuildDelayed) as outcome:
        logger.info("version %s is not built: %s", version_id, outcome)
    except BuildUnwanted:
        logger.info("version %s is not built: nobody waits for it", version_id)


def build_bundle(version: WorkflowVersion, alive: Callable[[], None] = lambda: None) -> Bundle:
    """Build a version. The log is kept whatever comes of it, and shown to the deployments that wait for it while it is written.

    `alive` is called every 10 s meanwhile; BuildUnwanted from it ends the build.

    Raises BuildFailed, and BuildDelayed when something does not answer or a package was deleted meanwhile: then try again.
    """
    log = begin_build(version, alive)
    if log is None:
        return Bundle.objects.get(version=version)
    try:
        built = build(version, log)
    except BuildFailed as error:
        log.note(str(error), "ERROR")
        finish_failed(log, error.reason.code, error.reason.detail)
        raise
    except Unavailable as error:
        code = error.code if isinstance(error, BuildDelayed) else "OBJECT_STORE_DOWN"
        log.note(f"{error.detail} It is tried again by itself.", "WARNING")
        log.delay(code, error.detail)
        raise BuildDelayed(code, error.detail) from error
    except NotFound as error:
        detail = f"A package was deleted while it was built in. {error.detail}"
        log.delay("ALGORITHM_CHANGED", detail)
        raise BuildDelayed("ALGORITHM_CHANGED", detail) from error
    except BuildUnwanted:
        log.alive = lambda: None
        log.note("Ended: no deployment waits for this build any more", "WARNING")
        finish_failed(log, "", "")
        raise
    except Exception:
        detail = "The service failed to build this; its log says why."
        log.note(detail, "ERROR")
        finish_failed(log, "INTERNAL_ERROR", detail)
        raise
    checkpoint("bundle_stored")
    record(version, log, built)
    checkpoint("bundle_recorded")
    return Bundle.objects.get(version=version)


def finish_failed(log: BuildLog, code: str, detail: str) -> None:
    """Record that nothing was built, and why; without a code it is neither built nor failed."""
    log.finish(digest="", size=0, algorithms=[], input_digest="", lock="", reason_code=code, reason_detail=detail)
    show_to_waiting(log.bundle, done=True)


def record(version: WorkflowVersion, log: BuildLog, built: Built) -> None:
    """Write what was built; a build that was made twice gives the same row."""
    with transaction.atomic():
        log.finish(
            digest=built.digest,
            size=built.size,
            algorithms=[one.recorded() for one in built.taken],
            input_digest=built.input_digest,
            base=built.base.name,
            base_note=built.base_note,
            lock=built.lock,
            image=built.image,
            reason_code="",
            reason_detail="",
        )
        record_uses(version=version, found=[one.package for one in built.taken])
    show_to_waiting(log.bundle, done=True)


def build(version: WorkflowVersion, log: BuildLog) -> Built:
    """Make and store the tar, or find that the same input has been built before."""
    with contextlib.ExitStack() as stack:
        spool = stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES))
        archive, archive_digest = open_archive(version, spool, log.tick)
        stack.enter_context(archive)
        environment = runtime_environment()
        base, base_note = pick_base(version, environment, log.note)
        taken = take_algorithms(version, log.note)
        sources = [Source(archive), *(Source(stack.enter_context(open_package(one, stack, log.tick)), one.name) for one in taken)]
        wanted = missing_packages(sources, base, environment, log.note)
        workflow = named_workflow(archive, version)
        installer = (
            Installer(base, environment.packages if environment else {}, *stack.enter_context(workshop()), log.note, log.tick)
            if wanted
            else None
        )
        lock = installer.resolve(wanted) if installer else ""
        name = input_name(archive_digest, workflow, taken, base, lock)
        found = same_input(name)
        if found:
            log.note(f"The same has been built before: bundle {found.digest[:12]}")
            digest, size = found.digest, found.size
        else:
            added = installed_files(installer, lock, wanted) if installer and lock else {}
            layer = stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES))
            digest, size = write_layer(sources, layer, workflow, added=added, tick=log.tick)
            store(layer, digest, size, log)
    return Built(digest, size, name, base, base_note, lock, taken, push_image(digest, base, log))


def store(layer: IO[bytes], digest: str, size: int, log: BuildLog) -> None:
    """Put the tar into the object store unless it is there."""
    log.note(f"Bundle {digest[:12]}: {size} bytes")
    if object_store().exists(bundle_key(digest)):
        log.note("The object store has this bundle already")
        return
    layer.seek(0)
    ticking_through(lambda: object_store().put_file(bundle_key(digest), layer, content_type="application/x-tar"), log.tick)
    log.note("Stored")


def push_image(digest: str, base: Base, log: BuildLog) -> str:
    """Push the bundle on top of its base and return `repository@digest`; "" where there is no registry, or the base has no image.

    Raises BuildDelayed (REGISTRY_DOWN), BuildFailed (REGISTRY_REFUSED).
    """
    if not settings.REGISTRY_URL or not base.image:
        return ""
    registry = Registry(settings.REGISTRY_URL)
    try:
        with object_store().open_stream(bundle_key(digest)) as bundle:
            image = push_bundle(registry, bundle=bundle, bundle_digest=digest, base=base.image, tick=log.tick)
    except RegistryDown as error:
        raise BuildDelayed("REGISTRY_DOWN", str(error)) from error
    except RegistryError as error:
        raise BuildFailed("REGISTRY_REFUSED", str(error)) from error
    finally:
        registry.close()
    log.note(f"Image {image}")
    return image


def open_archive(version: WorkflowVersion, spool: IO[bytes], tick: Callable[[], None]) -> tuple[zipfile.ZipFile, str]:
    """Fetch the archive into `spool`, open it and return its SHA-256 as well."""
    digest = hashlib.sha256()
    try:
        with object_store().open_stream(version.archive_key) as stream:
            while data := stream.read(1024 * 1024):
                digest.update(data)
                spool.write(data)
                tick()
        return zipfile.ZipFile(spool), digest.hexdigest()
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


def pick_base(version: WorkflowVersion, environment: Environment | None, note: Callable[..., None]) -> tuple[Base, str]:
    """Return the runtime base of a version and what differs from what it asks for. Raises BuildFailed (UNSUPPORTED_RUNTIME, NO_RUNTIME)."""
    here = {"engine": environment.engine, "python": environment.python} if environment else None
    base, base_note = choose_base(asked_by(version.data), bases_here(here))
    note(f"Runtime base: {base}")
    if base_note:
        note(base_note, "WARNING")
    return base, base_note


def missing_packages(sources: Sequence[Source], base: Base, environment: Environment | None, note: Callable[..., None]) -> list[Wanted]:
    """Return the requirements of plugins that the engine's environment does not meet. Raises BuildFailed, naming plugin and requirement."""
    wanted = wanted_by_plugins(sources, base.markers(environment.python if environment else ""))
    for item in wanted:
        note(f"Plugin {item.plugin} needs {item.requirement}")
    if environment is None:
        if wanted:
            raise BuildFailed(
                "NO_RUNTIME", f"The engine's environment is not on this machine ({settings.RUNTIME_PYTHON}), so requirements cannot be met."
            )
        note(f"The engine's environment is not on this machine ({settings.RUNTIME_PYTHON})", "WARNING")
        return []
    missing = to_install(wanted, environment.packages)
    note(f"{len(wanted) - len(missing)} of {len(wanted)} requirements of plugins are met by the engine's environment")
    return missing


def input_name(archive_digest: str, workflow: bytes | None, taken: Sequence[Taken], base: Base, lock: str) -> str:
    """Return the SHA-256 of all that a bundle is made of."""
    parts = {
        "format": FORMAT,
        "archive": archive_digest,
        "workflow": hashlib.sha256(workflow).hexdigest() if workflow is not None else "",
        "algorithms": [[one.name, one.package.sha256] for one in taken],
        "base": [base.name, base.platform],
        "lock": lock,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def same_input(name: str) -> Bundle | None:
    """Return a bundle that was built from the same and is still in the object store."""
    found: Bundle | None = Bundle.objects.filter(input_digest=name).exclude(digest="").first()
    return found if found and object_store().exists(bundle_key(found.digest)) else None


def installed_files(installer: Installer, lock: str, wanted: Sequence[Wanted]) -> dict[str, Path | bytes]:
    """Install what the lock says; return the files by their path in the bundle, the lock among them."""
    folder = installer.install(lock, wanted)
    tidy(folder)
    return {LOCK: lock.encode(), **packaged_files(folder)}
