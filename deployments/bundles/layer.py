"""From a pushed archive (zip) to a reproducible tar: sorted names, no dates, no owners, two modes. Pure: files in, file out."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from deployments.bundles.room import telling_of_room
from deployments.errors import BuildFailed

WORKFLOW = "workflow.json"
PLUGINS = PurePosixPath("plugins/Python")
MAX_UNPACKED_BYTES = 4 * 1024**3
LEFT_OUT_FOLDERS = {"__pycache__", ".git", ".github", ".idea"}
CHUNK = 1024 * 1024


class HashingWriter(io.RawIOBase):
    """A file that hashes and counts what is written to it, `limit` bytes at most (0 = any number)."""

    def __init__(self, target: IO[bytes], *, limit: int = 0) -> None:
        self.target = target
        self.limit = limit
        self.digest = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write and hash. Raises BuildFailed (BUNDLE_TOO_LARGE) before the limit is passed."""
        if self.limit and self.size + len(data) > self.limit:
            raise too_large("With the packages that its plugins require the workflow has", self.limit)
        self.digest.update(data)
        self.size += len(data)
        return self.target.write(data)


class TickingReader(io.RawIOBase):
    """A stream that calls `tick` for each piece that is read of it, so that a large file is no silence."""

    def __init__(self, stream: IO[bytes], tick: Callable[[], None]) -> None:
        self.stream = stream
        self.tick = tick

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read a piece."""
        self.tick()
        return self.stream.read(size)


def too_large(what: str, limit: int) -> BuildFailed:
    """Return the refusal of something that `what` begins to tell of."""
    return BuildFailed("BUNDLE_TOO_LARGE", f"{what} more than {limit / 1024**3:.3g} GB. Ask for fewer or smaller packages, and push again.")


@dataclass(frozen=True, slots=True)
class Source:
    """A zip that goes into a bundle: the pushed archive, or a package of one plugin, whose files are those of its folder."""

    archive: zipfile.ZipFile
    plugin: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a source."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo


def members(sources: Sequence[Source]) -> list[tuple[str, Member]]:
    """Return (path in the bundle, zip member) sorted by path: workflow.json at the root, each plugin's folder under plugins/Python.

    The first source is the pushed archive. Raises BuildFailed (BAD_ARCHIVE) for names that lead outside, names that come twice, and archives
    that are too large.
    """
    found: dict[str, Member] = {}
    for source in sources:
        for info in source.archive.infolist():
            path = PurePosixPath(info.filename)
            if info.is_dir() or LEFT_OUT_FOLDERS & set(path.parts):
                continue
            if path.is_absolute() or ".." in path.parts or "\\" in info.filename or "\x00" in info.filename:
                raise BuildFailed("BAD_ARCHIVE", f"The archive holds '{info.filename[:100]}', which leads outside of it.")
            pushed_workflow = info.filename == WORKFLOW and not source.plugin
            target = WORKFLOW if pushed_workflow else str(PLUGINS / source.plugin / path)
            if target in found:
                raise BuildFailed("BAD_ARCHIVE", f"The archive holds '{info.filename[:100]}' twice.")
            found[target] = Member(source.archive, info)
    if WORKFLOW not in found:
        raise BuildFailed("BAD_ARCHIVE", "The archive has no workflow.json.")
    if sum(member.info.file_size for member in found.values()) > MAX_UNPACKED_BYTES:
        raise BuildFailed("BAD_ARCHIVE", f"The archive unpacks to more than {MAX_UNPACKED_BYTES >> 30} GB.")
    return sorted(found.items())


def write_layer(
    sources: Sequence[Source],
    target: IO[bytes],
    workflow: bytes | None = None,
    *,
    added: Mapping[str, Path | bytes] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> tuple[str, int]:
    """Write the tar and return its SHA-256 and size in bytes. The same archives give the same bytes for everyone, always.

    `workflow` takes the place of the archive's workflow.json; `added` are files and contents by their path in the bundle. `tick` is called
    for each piece of a file.

    Raises BuildFailed (BAD_ARCHIVE, BUNDLE_TOO_LARGE), BuildDelayed (NO_BUILD_FOLDER) when the disk is full.
    """
    entries: dict[str, Member | Path | bytes] = {**dict(members(sources)), **(added or {})}
    if workflow is not None:
        entries[WORKFLOW] = workflow
    writer = HashingWriter(target, limit=MAX_UNPACKED_BYTES)
    try:
        with telling_of_room(tempfile.gettempdir()), tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for path, content in sorted(entries.items()):
                entry, stream = opened(path, content)
                with stream:
                    tar.addfile(entry, cast("IO[bytes]", TickingReader(stream, tick)))
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        raise BuildFailed("BAD_ARCHIVE", f"The archive cannot be read: {error}") from error
    return writer.digest.hexdigest(), writer.size


def opened(path: str, content: Member | Path | bytes) -> tuple[tarfile.TarInfo, IO[bytes]]:
    """Return a file's entry and its content."""
    entry = tarfile.TarInfo(path)
    executable = False
    if isinstance(content, Member):
        entry.size, executable = content.info.file_size, bool((content.info.external_attr >> 16) & 0o100)
        stream = content.archive.open(content.info)
    elif isinstance(content, bytes):
        entry.size, stream = len(content), io.BytesIO(content)
    else:
        status = content.stat()
        entry.size, executable = status.st_size, bool(status.st_mode & 0o100)
        stream = content.open("rb")
    entry.mode = 0o755 if executable else 0o644
    return entry, stream


def plugin_files(sources: Sequence[Source]) -> Iterator[tuple[str, str, Member]]:
    """Yield (plugin, file name, member) of the files that lie directly in a plugin's folder."""
    for path, member in members(sources):
        parts = PurePosixPath(path).relative_to(PLUGINS).parts if path != WORKFLOW else ()
        if len(parts) == 2:
            yield parts[0], parts[1], member
