"""Bundles on this machine: fetched once, checked against their digest, unpacked safely, shared read-only by all replicas."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import IO

MAX_UNPACKED_BYTES = 8 * 1024**3
UNUSED_SECONDS = 7 * 24 * 3600
CHUNK = 1024 * 1024


class BadBundle(Exception):
    """The tar is not what its digest says, or holds what a bundle may not hold. Never retried."""


class HashingReader(io.RawIOBase):
    """Reads a stream and hashes what goes by, so that checking costs no second pass."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read and hash."""
        data = self.stream.read(size)
        self.digest.update(data)
        return data


class BundleCache:
    """`open_bundle(digest)` gives the tar's stream; errors of it pass through."""

    def __init__(self, folder: Path, open_bundle: Callable[[str], IO[bytes]]) -> None:
        self.folder = folder
        self.open_bundle = open_bundle
        self.locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def ensure(self, digest: str) -> Path:
        """Return the folder of the bundle, fetching it when it is not there yet. Raises BadBundle."""
        final = self.folder / digest
        with self.locks[digest]:
            if not final.is_dir():
                with self.open_bundle(digest) as stream:
                    unpack(stream, digest, final)
            os.utime(final)
        return final

    def prune(self, used: Iterable[str]) -> None:
        """Remove what no replica uses and none has used for a week, and what a killed agent left half unpacked."""
        keep = set(used)
        for path in self.folder.iterdir():
            if path.name not in keep and (path.name.startswith("tmp") or time.time() - path.stat().st_mtime > UNUSED_SECONDS):
                shutil.rmtree(path, ignore_errors=True)


def unpack(stream: IO[bytes], digest: str, final: Path) -> None:
    """Extract beside `final`, compare the digest, then rename: a half-done bundle is never seen."""
    scratch = Path(tempfile.mkdtemp(prefix="tmp", dir=final.parent))
    try:
        source = HashingReader(stream)
        extract(source, scratch)
        while source.read(CHUNK):
            pass
        if source.digest.hexdigest() != digest:
            raise BadBundle(f"The stored bundle {digest[:12]} has another digest: it was damaged or replaced.")
        scratch.chmod(0o755)
        scratch.rename(final)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def extract(source: HashingReader, target: Path) -> None:
    """Write folders and plain files with relative, downward names; anything else is refused (this Python may lack tarfile's filters)."""
    total = 0
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                    raise BadBundle(f"The bundle holds '{member.name[:100]}', which is no plain file inside it.")
                total += member.size
                if total > MAX_UNPACKED_BYTES:
                    raise BadBundle(f"The bundle unpacks to more than {MAX_UNPACKED_BYTES >> 30} GB.")
                write_member(archive, member, target / path)
    except tarfile.TarError as error:
        raise BadBundle(f"The bundle is no readable tar: {error}") from error


def write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write one folder or file, readable by every replica's user."""
    if member.isdir():
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        return
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    content = archive.extractfile(member)
    if content is None:
        raise BadBundle(f"The bundle's '{member.name[:100]}' has no content.")
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, CHUNK)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)
