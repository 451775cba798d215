"""Requirements of plugins → lock (exact versions with hashes) → site-packages, for the runtime's Python and platform. Wheels only, so nothing of them is run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from django.conf import settings
from packaging.version import Version

from deployments.bundles.bases import Base
from deployments.bundles.bytecode import compile_packages, drop_compiled
from deployments.bundles.environment import python_version
from deployments.bundles.explain import PLUGIN, explain
from deployments.bundles.layer import MAX_UNPACKED_BYTES, too_large
from deployments.bundles.requirements import OPENCV, Wanted
from deployments.bundles.room import check_room, telling_of_room
from deployments.bundles.tool import run_installer
from deployments.errors import BuildDelayed, BuildFailed

PREFIX = "build-"
LOCK_NAME = ".building"
NO_INDEX = "none"
# The one that the installer asks by itself; in a file of settings a word is clearer than an empty line.
PUBLIC_INDEX = "public"
# A worker that has just made its folder may not have its lock yet.
NEW_SECONDS = 60
MEASURE_SECONDS = 5.0
CLEAN_SECONDS = 20.0
# Their dependencies are in the engine's environment, or left out of it on purpose.
LEFT_TO_THE_ENGINE = (*sorted(OPENCV), "ikomia")


@dataclass(slots=True)
class Measure:
    """When the room is looked at next (by the monotonic clock)."""

    due_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Installer:
    """Where and how requirements of one build are resolved and installed. `engine` are the packages (name → version) that stay as they are."""

    base: Base
    engine: Mapping[str, str]
    folder: Path
    cache: Path
    note: Callable[..., None]
    tick: Callable[[], None]

    def resolve(self, wanted: Sequence[Wanted]) -> str:
        """Return the lock. Raises BuildFailed and BuildDelayed, see `explain`."""
        plugins = sorted({item.plugin for item in wanted})
        self.note(f"Resolving {', '.join(item.plain for item in wanted)} for {self.base}")
        for number, plugin in enumerate(plugins):
            self.describe(number, [item.plain for item in wanted if item.plugin == plugin])
        self.write("in.txt", [f"./{PLUGIN}{number}" for number in range(len(plugins))])
        self.write("constraints.txt", [f"{name}=={version}" for name, version in sorted(self.engine.items())])
        self.write("overrides.txt", [f'{name} ; python_version < "0"' for name in LEFT_TO_THE_ENGINE])
        kept_out = [*(f"{PLUGIN}{number}" for number in range(len(plugins))), *sorted(self.engine)]
        options = ["--generate-hashes", "--no-header", "--no-annotate", "--constraints", "constraints.txt", "--overrides", "overrides.txt"]
        options += [part for name in kept_out for part in ("--no-emit-package", name)]
        status, lines = self.run(["pip", "compile", "in.txt", "--quiet", *options, "--output-file", "lock.txt"])
        if status:
            raise explain(lines, wanted, plugins, self.engine)
        lock = (self.folder / "lock.txt").read_text(encoding="utf-8")
        if not lock.strip():
            self.note("Nothing needs to be installed")
        return lock

    def install(self, lock: str, wanted: Sequence[Wanted]) -> Path:
        """Install exactly what the lock says and return the folder. Raises BuildFailed and BuildDelayed."""
        target = self.folder / "site-packages"
        shutil.rmtree(target, ignore_errors=True)
        (self.folder / "lock.txt").write_text(lock, encoding="utf-8")
        options = ["--no-deps", "--require-hashes", "--requirements", "lock.txt", "--target", str(target)]
        options += ["--link-mode", "copy", "--no-compile-bytecode"]
        status, lines = self.run(["pip", "install", *options], on_line=partial(said, self.note))
        if status:
            raise explain(lines, wanted, [], {})
        self.compile(target)
        return target

    def compile(self, packages: Path) -> None:
        """Compile packages with the runtime's interpreter, where that is the base's Python; what they brought compiled goes in any case."""
        python = Path(settings.RUNTIME_PYTHON)
        if not python.is_file() or Version(python_version(python)).release[:2] != self.base.python.release[:2]:
            drop_compiled(packages)
        elif compile_packages(packages, python=python, seconds=settings.BUILD_TIMEOUT, tick=partial(self.watch, Measure())):
            self.note("Compiled")
        else:
            self.note("The packages could not be compiled: each start of the runtime does so anew", "WARNING")

    def run(self, arguments: Sequence[str], on_line: Callable[[str], None] = lambda line: None) -> tuple[int, list[str]]:
        """Run the installer for the base's Python and platform, with the index of the settings."""
        python = f"{self.base.python.major}.{self.base.python.minor}"
        target = ["--python", sys.executable, "--python-version", python, "--python-platform", self.base.platform, "--only-binary", ":all:"]
        target += ["--no-index"] if settings.PACKAGE_INDEX_URL == NO_INDEX else []
        return run_installer(
            [*arguments, *target],
            folder=self.folder,
            cache=self.cache,
            seconds=settings.BUILD_TIMEOUT,
            secrets=index_variables(),
            on_line=on_line,
            tick=partial(self.watch, Measure()),
        )

    def watch(self, measure: Measure) -> None:
        """Look at the room that is taken and left, each few seconds. Raises BuildFailed (BUNDLE_TOO_LARGE), BuildDelayed (NO_BUILD_FOLDER)."""
        self.tick()
        if time.monotonic() < measure.due_at:
            return
        if sum(sizes_below(self.folder)) > MAX_UNPACKED_BYTES:
            raise too_large("The packages that the plugins require take", MAX_UNPACKED_BYTES)
        check_room(self.folder)
        measure.due_at = time.monotonic() + MEASURE_SECONDS

    def describe(self, number: int, requirements: Sequence[str]) -> None:
        """Write a plugin as a project that only has dependencies: the installer's messages then say whose requirement it is."""
        folder = self.folder / f"{PLUGIN}{number}"
        folder.mkdir()
        text = f'[project]\nname = "{PLUGIN}{number}"\nversion = "1"\ndependencies = {json.dumps(list(requirements))}\n'
        (folder / "pyproject.toml").write_text(text, encoding="utf-8")

    def write(self, name: str, lines: Sequence[str]) -> None:
        """Write a file of lines."""
        (self.folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def said(note: Callable[..., None], line: str) -> None:
    """Note what the installer says of its work; what it says of our interpreter is of no use to anybody."""
    if not line.startswith(("Using CPython", "error:", "hint:")):
        note(line.strip().replace("+ ", "Installed ", 1) if line.startswith(" + ") else line.strip())


def index_variables() -> dict[str, str]:
    """Return the variables that say where packages come from; without settings the installer's own default counts. They may hold credentials."""
    found = {"UV_FIND_LINKS": settings.PACKAGE_FOLDER} if settings.PACKAGE_FOLDER else {}
    if settings.PACKAGE_INDEX_URL not in ("", PUBLIC_INDEX, NO_INDEX):
        found["UV_DEFAULT_INDEX"] = settings.PACKAGE_INDEX_URL
    return found


@contextmanager
def workshop() -> Iterator[tuple[Path, Path]]:
    """Give a folder for one build, removed afterwards, and the folder of downloads that all builds share (bounded by BUILD_CACHE_BYTES).

    Raises BuildFailed (NO_BUILD_FOLDER) when there can be none, BuildDelayed (NO_BUILD_FOLDER) for a disk that is full now or becomes so: then
    the downloads are dropped.
    """
    root = Path(settings.BUILD_FOLDER)
    cache = root / "cache"
    try:
        with telling_of_room(str(root)):
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            remove_leftovers(root)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    except OSError as error:
        raise BuildFailed("NO_BUILD_FOLDER", f"BUILD_FOLDER ({root}) cannot be written: {error.strerror}.") from error
    most = settings.BUILD_CACHE_BYTES
    try:
        with telling_of_room(str(root)), (folder / LOCK_NAME).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            check_room(root)
            yield folder, cache
    except BuildDelayed as error:
        most = 0 if error.code == "NO_BUILD_FOLDER" else most
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        bound_cache(cache, most)


def remove_leftovers(root: Path) -> None:
    """Remove the folders of builds whose worker was killed: the system has let go of their locks."""
    for path in root.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            if is_left(path):
                shutil.rmtree(path, ignore_errors=True)


def is_left(path: Path) -> bool:
    """Tell whether nobody builds in a folder any more."""
    if time.time() - path.stat().st_mtime < NEW_SECONDS:
        return False
    try:
        with (path / LOCK_NAME).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True


def bound_cache(cache: Path, most: int) -> None:
    """Empty the cache when it has grown beyond its bound. The installer's own command waits for builds that read it."""
    if sum(sizes_below(cache)) > most:
        # If it waits for too long, the next build tries it again.
        with contextlib.suppress(BuildFailed):
            run_installer(["cache", "clean"], folder=cache.parent, cache=cache, seconds=CLEAN_SECONDS)


def sizes_below(folder: Path) -> Iterator[int]:
    """Yield the sizes (bytes) of the files below a folder, as far as they are still there."""
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield os.lstat(os.path.join(place, name)).st_size
