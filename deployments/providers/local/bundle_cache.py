"""Bundles on this machine: fetched once, checked against their digest, unpacked safely, shared read-only by all replicas."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO
from uuid import uuid4

from controlplane.common.errors import Unavailable

MAX_UNPACKED_BYTES = 8 * 1024**3
UNUSED_SECONDS = 7 * 24 * 3600
CHUNK = 1024 * 1024
SCRATCH = "tmp"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


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
        """Read and hash. Raises Unavailable when the stream breaks off."""
        try:
            data = self.stream.read(size)
        except Exception as error:  # of botocore, of what lies below it, of the socket: all say that nothing is wrong with the bundle
            raise Unavailable("object_store", f"The bundle broke off on its way ({type(error).__name__}). It is fetched again.") from error
        self.digest.update(data)
        return data


class BundleCache:
    """Bundles by digest, `limit` bytes of them or what replicas hold. `open_bundle(digest)` gives the tar's stream; its errors pass through."""

    def __init__(self, folder: Path, open_bundle: Callable[[str], IO[bytes]], *, limit: int) -> None:
        self.folder = folder
        self.open_bundle = open_bundle
        self.limit = limit
        self.locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self.guard = threading.Lock()
        self.held: Counter[str] = Counter()
        self.sizes: dict[str, int] = {}

    def hold(self, digest: str) -> None:
        """Keep a bundle, also one that is not there yet, until it is released as often."""
        with self.guard:
            self.held[digest] += 1

    def release(self, digest: str) -> None:
        """Say that a replica does not need its bundle any more."""
        with self.guard:
            self.held[digest] -= 1
            self.held += Counter()  # drops what is at zero
        with contextlib.suppress(OSError):
            os.utime(self.folder / digest)
        self.prune()

    def ensure(self, digest: str) -> Path:
        """Return the folder of the bundle, fetching it when it is not there yet. Raises BadBundle, Unavailable, and OSError for a full disk."""
        final = self.folder / digest
        with self.locks[digest]:
            if not final.is_dir():
                try:
                    self.fetch(digest, final)
                except OSError as error:
                    if error.errno not in NO_ROOM:
                        raise
                    self.prune(limit=0)
                    self.fetch(digest, final)
            os.utime(final)
        return final

    def fetch(self, digest: str, final: Path) -> None:
        """Bring a bundle here, then see that not too much is."""
        with self.open_bundle(digest) as stream:
            unpack(stream, digest, final)
        self.prune(keep=digest)

    def clear(self) -> None:
        """Remove what a killed agent left half unpacked or half removed. Call it before anything is fetched."""
        for path in self.folder.glob(f"{SCRATCH}*"):
            shutil.rmtree(path, ignore_errors=True)

    def prune(self, *, keep: str = "", limit: int | None = None) -> None:
        """Remove what no replica holds: what none has used for a week, and while there is more than may be, what was used longest ago."""
        found = sorted(self.here())
        total = sum(self.size(digest) for _, digest in found)
        for used_at, digest in found:
            too_much = total > (self.limit if limit is None else limit)
            if digest != keep and (too_much or time.time() - used_at > UNUSED_SECONDS):
                total -= self.remove(digest)

    def here(self) -> Iterator[tuple[float, str]]:
        """Yield (when it was last used, digest) of the bundles that are here."""
        for path in self.folder.iterdir():
            if not path.name.startswith(SCRATCH):
                with contextlib.suppress(FileNotFoundError):
                    yield path.stat().st_mtime, path.name

    def size(self, digest: str) -> int:
        """Return the bytes of a bundle, which never change: they are counted once."""
        if digest not in self.sizes:
            files = [os.path.join(place, name) for place, _, names in os.walk(self.folder / digest) for name in names]
            with contextlib.suppress(FileNotFoundError):  # another thread removes it at this moment
                self.sizes[digest] = sum(os.lstat(file).st_size for file in files)
        return self.sizes.get(digest, 0)

    def remove(self, digest: str) -> int:
        """Remove a bundle and return its size, 0 if a replica holds it. Who comes to hold it afterwards finds nothing, and fetches it anew."""
        scratch = self.folder / f"{SCRATCH}-{uuid4().hex}"
        with self.guard:
            if digest in self.held:
                return 0
            with contextlib.suppress(OSError):
                (self.folder / digest).rename(scratch)
        shutil.rmtree(scratch, ignore_errors=True)
        return self.sizes.pop(digest, 0)


def unpack(stream: IO[bytes], digest: str, final: Path) -> None:
    """Extract beside `final`, compare the digest, then rename: a half-done bundle is never seen."""
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=final.parent))
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
