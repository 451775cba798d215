"""Unpack a folder that came as a zip archive: never outside its place, never more than allowed."""

import contextlib
import errno
import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from runtime.errors import InputTooLarge, UnusableObject

ENTRY_LIMIT = 100_000
FOLDER_BYTES = 4096
SEGMENT_LIMIT = 64
PATH_BYTES = 1024
DIRECTORY_LIMIT = 16 * 1024 * 1024
BOMB_BYTES = 64 * 1024 * 1024
BOMB_RATIO = 250
CHUNK = 1024 * 1024
ENCRYPTED = 0x1


class _BoundedFile(io.BufferedReader):
    """The module `zipfile` reads the archive's directory in one piece, whatever size that piece claims to have."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > DIRECTORY_LIMIT:
            raise UnusableObject("its directory is larger than that of any archive that would be accepted")
        return super().read(size)


def unpacked_size(archive: Path, limit: int) -> int:
    """Check an archive without unpacking it; gives the bytes that it takes on the disk: what its files say, and a block for each folder.

    Raises a TransferFailed.
    """
    with _open(archive) as opened:
        entries = opened.infolist()
    if len(entries) > ENTRY_LIMIT:
        raise InputTooLarge(f"the archive has {len(entries)} entries, at most {ENTRY_LIMIT} are unpacked; send fewer or larger files")
    for entry in entries:
        _check_entry(entry)
    folders = _count_folders(entries)
    size = sum(entry.file_size for entry in entries) + FOLDER_BYTES * folders
    if size > limit:
        raise InputTooLarge(f"the archive unpacks to {size} bytes, this run may bring {limit} more; send a smaller folder")
    if size > BOMB_BYTES and size > BOMB_RATIO * archive.stat().st_size:
        raise UnusableObject(f"the archive would grow to more than {BOMB_RATIO} times its size, as a zip bomb does")
    return size


def _count_folders(entries: list[zipfile.ZipInfo]) -> int:
    """The folders that unpacking makes, most of which need no entry; raises InputTooLarge when there are too many, with the files.

    A folder is known by its name and the number of the one that it lies in: whole paths would take more memory than the archive.
    """
    known: dict[tuple[int, str], int] = {}
    files = sum(not entry.is_dir() for entry in entries)
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        parent = 0
        for name in parts if entry.is_dir() else parts[:-1]:
            parent = known.setdefault((parent, name), len(known) + 1)
        if files + len(known) > ENTRY_LIMIT:
            raise InputTooLarge(f"the archive makes more than {ENTRY_LIMIT} files and folders; send fewer or larger files")
    return len(known)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a checked archive into a new folder; raises UnusableObject when an entry is damaged or lies about its size.

    Raises OSError when the disk is full.
    """
    folder.mkdir()
    with _open(archive) as opened:
        for entry in opened.infolist():
            try:
                _unpack_entry(opened, entry, folder)
            except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
                raise UnusableObject(f"entry {entry.filename!r} of the archive can't be unpacked: {error}") from error
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                raise UnusableObject(f"entry {entry.filename!r} of the archive can't be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _open(archive: Path) -> Iterator[zipfile.ZipFile]:
    with _BoundedFile(io.FileIO(archive)) as file:
        try:
            opened = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
            raise UnusableObject(f"it is not a zip archive, as folders are stored: {error}") from error
        with opened:
            yield opened


def _check_entry(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename)
    mode = entry.external_attr >> 16
    reason = None
    if len(entry.filename.encode("utf-8", "surrogateescape")) > PATH_BYTES:
        reason = f"has a path of more than {PATH_BYTES} bytes"
    elif len(path.parts) > SEGMENT_LIMIT:
        reason = f"lies more than {SEGMENT_LIMIT} folders deep"
    elif path.is_absolute() or ".." in path.parts or ".." in entry.filename.replace("\\", "/").split("/"):
        reason = "leads outside of the folder"
    elif not path.parts:
        reason = "has no name"
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        reason = "is a link or another special file"
    elif entry.flag_bits & ENCRYPTED:
        reason = "is encrypted"
    if reason is not None:
        raise UnusableObject(f"entry {entry.filename[:200]!r} of the archive {reason}; pack the plain files again")


def _unpack_entry(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """At most as many bytes as the entry said to have: those were checked. Names that come twice are refused."""
    target = folder.joinpath(*PurePosixPath(entry.filename).parts)
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with opened.open(entry) as source, target.open("xb") as file:
        while chunk := source.read(min(CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise zipfile.BadZipFile("it is larger than it says")
            file.write(chunk)
