"""Algorithms that a workflow names without bringing them: the exact package for the runtime, from the private, then the public HUB."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from django.conf import settings

from controlplane.common.errors import NotFound
from controlplane.common.objectstore import object_store
from controlplane.hub.selectors import FoundPackage, Platform, package_for
from controlplane.projects.models import WorkflowVersion
from deployments.bundles.environment import runtime_environment
from deployments.bundles.room import telling_of_room
from deployments.errors import BuildFailed

SPOOL_BYTES = 32 * 1024 * 1024
# Every runtime is Linux on this machine type; Python and engine are those of the environment that runs it.
SYSTEM, MACHINE = "LINUX", "X86_64"


@dataclass(frozen=True, slots=True)
class Taken:
    """An algorithm and the package that was taken for it."""

    name: str
    package: FoundPackage

    def recorded(self) -> dict[str, str]:
        """Return what the bundle's row tells of it."""
        found = self.package
        return {
            "name": self.name,
            "source": found.source,
            "path": found.path,
            "version": found.version,
            "package": str(found.package_id),
            "sha256": found.sha256,
        }


def take_algorithms(version: WorkflowVersion, note: Callable[..., None]) -> list[Taken]:
    """Find the package of each algorithm. Raises BuildFailed (ALGORITHM_MISSING) naming each that has none."""
    if not version.algorithms:
        return []
    platform = runtime_platform()
    project = version.workflow.project
    taken = []
    missing = []
    for name in version.algorithms:
        found = package_for(project=project, name=name, platform=platform, reader=version.created_by)
        if found is None:
            missing.append(name)
            continue
        note(f"Algorithm {name}: {found.source} {found.path} {found.version} (package {found.sha256[:12]})")
        taken.append(Taken(name, found))
    if missing:
        raise BuildFailed(
            "ALGORITHM_MISSING",
            f"No package of {', '.join(missing)} for {platform.os} {platform.architecture}, Python {platform.python} and engine {platform.engine} "
            f"in the private HUB of '{project.path}' or in the public one. Upload one, or push the workflow with its plugins in the archive.",
        )
    return taken


def runtime_platform() -> Platform:
    """Return what the runtimes of this installation are. Raises BuildFailed (NO_RUNTIME) when their environment is not on this machine."""
    found = runtime_environment()
    if found is None:
        raise BuildFailed(
            "NO_RUNTIME",
            f"The engine's environment is not on this machine ({settings.RUNTIME_PYTHON}), so no package can be chosen for it.",
        )
    return Platform(os=SYSTEM, architecture=MACHINE, python=found.python, engine=found.engine)


def known_platform() -> Platform | None:
    """Return what the runtimes are, None where their environment is not on this machine: for who chooses a package without building."""
    try:
        return runtime_platform()
    except BuildFailed:
        return None


def open_package(taken: Taken, stack: contextlib.ExitStack, tick: Callable[[], None] = lambda: None) -> zipfile.ZipFile:
    """Fetch a package and open it; its bytes must be those that were uploaded. `tick` is called for each piece.

    Raises BuildFailed (PACKAGE_MISSING, BAD_PACKAGE), BuildDelayed (NO_BUILD_FOLDER) when the disk is full.
    """
    spool: IO[bytes] = stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES))  # noqa: SIM115 - the stack closes it
    digest = hashlib.sha256()
    try:
        with telling_of_room(tempfile.gettempdir()), object_store().open_stream(taken.package.key) as stream:
            while data := stream.read(1024 * 1024):
                digest.update(data)
                spool.write(data)
                tick()
    except NotFound as error:
        raise BuildFailed(
            "PACKAGE_MISSING", f"The package of {taken.name} is not in the object store any more. Upload it again."
        ) from error
    if digest.hexdigest() != taken.package.sha256:
        raise BuildFailed("BAD_PACKAGE", f"The package of {taken.name} is not what was uploaded. Upload it again.")
    try:
        return zipfile.ZipFile(spool)
    except zipfile.BadZipFile as error:
        raise BuildFailed("BAD_PACKAGE", f"The package of {taken.name} cannot be read: {error}") from error
