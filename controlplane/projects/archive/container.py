"""The end of a zip file, read strictly before any library parses the rest.

Zip readers differ on files whose end record is ambiguous (data behind it, zip64 figures that contradict it, several disks), and
most of them load the whole table of contents whatever its size. Here a file has one reading or is refused.
Source: PKWARE APPNOTE 6.3.10, sections 4.3.14 to 4.3.16.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from controlplane.common.errors import InvalidInput
from controlplane.projects.archive.limits import ArchiveLimits
from controlplane.projects.archive.wording import mebibytes

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL_BYTES = 46
_LONGEST_COMMENT = 0xFFFF
_PACK_AGAIN = "Pack the archive again, or push with the command line client, which packs it for you."


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the table of contents lies and how many entries it lists."""

    entries: int
    size: int
    offset: int


def read_directory(stream: BinaryIO, *, size: int, limits: ArchiveLimits) -> Directory:
    """The table of contents of the zip in `stream`, proven to be the only one and within the limits.

    Raises InvalidInput: `not_a_zip`, `zip_truncated`, `zip_multi_disk`, `zip_broken`, `too_many_files`.
    """
    position, end = _find_end(stream, size)
    _, disk, directory_disk, here, entries, directory_size, offset, _ = end
    if disk == 0xFFFF or directory_disk == 0xFFFF:
        disk = directory_disk = 0
    if disk or directory_disk or here != entries:
        raise InvalidInput("zip_multi_disk", f"The archive is one part of a zip split over several files. {_PACK_AGAIN}")
    found, position = _with_zip64(stream, position, Directory(entries, directory_size, offset))
    if found.offset + found.size != position:
        raise _broken("its table of contents is not where its end record says")
    if found.entries > limits.entries:
        raise InvalidInput(
            "too_many_files",
            f"The archive lists {found.entries} files; {limits.entries} are allowed. Leave out what the run does not need.",
        )
    if found.size > limits.directory_bytes:
        raise InvalidInput(
            "too_many_files",
            f"The list of files in the archive takes {mebibytes(found.size)}; {mebibytes(limits.directory_bytes)} are allowed.",
        )
    _walk(stream, found)
    return found


def _find_end(stream: BinaryIO, size: int) -> tuple[int, tuple[bytes, int, int, int, int, int, int, int]]:
    stream.seek(max(0, size - _END.size - _LONGEST_COMMENT))
    tail = stream.read(_END.size + _LONGEST_COMMENT)
    at = len(tail) - _END.size
    if at < 0 or tail[at : at + 4] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
    if at < 0:
        raise _no_end(stream)
    end: tuple[bytes, int, int, int, int, int, int, int] = _END.unpack_from(tail, at)
    if at + _END.size + end[-1] != len(tail):
        raise _broken("there is data behind its end record, or its comment is cut")
    return size - len(tail) + at, end


def _no_end(stream: BinaryIO) -> InvalidInput:
    stream.seek(0)
    if stream.read(4) == b"PK\x03\x04":
        return InvalidInput("zip_truncated", f"The zip file is cut off: its end is missing. The upload was interrupted? {_PACK_AGAIN}")
    return InvalidInput("not_a_zip", f"The file is not a zip archive. {_PACK_AGAIN}")


def _with_zip64(stream: BinaryIO, position: int, plain: Directory) -> tuple[Directory, int]:
    """`plain` with its zip64 figures, if it has any, and the position where the table of contents must end."""
    if position < _END64_LOCATOR.size:
        return plain, position
    stream.seek(position - _END64_LOCATOR.size)
    signature, disk, at, disks = _END64_LOCATOR.unpack(stream.read(_END64_LOCATOR.size))
    if signature != b"PK\x06\x07":
        return plain, position
    if disk or disks > 1:
        raise InvalidInput("zip_multi_disk", f"The archive is one part of a zip split over several files. {_PACK_AGAIN}")
    if at + _END64.size + _END64_LOCATOR.size != position:
        raise _broken("its zip64 end record is not where it should be")
    stream.seek(at)
    signature, length, _, _, disk, directory_disk, here, entries, size, offset = _END64.unpack(stream.read(_END64.size))
    if signature != b"PK\x06\x06" or length != _END64.size - 12 or disk or directory_disk or here != entries:
        raise _broken("its zip64 end record makes no sense")
    for short, full, absent in (
        (plain.entries, entries, 0xFFFF),
        (plain.size, size, 0xFFFFFFFF),
        (plain.offset, offset, 0xFFFFFFFF),
    ):
        if short not in (full, absent):
            raise _broken("its zip64 end record contradicts its end record")
    return Directory(entries, size, offset), at


def _walk(stream: BinaryIO, directory: Directory) -> None:
    """Prove that the table of contents holds exactly the entries it announces, so that parsing it costs what was allowed."""
    stream.seek(directory.offset)
    table = stream.read(directory.size)
    at = 0
    for _ in range(directory.entries):
        if table[at : at + 4] != b"PK\x01\x02" or at + _CENTRAL_BYTES > len(table):
            raise _broken("its table of contents is damaged")
        at += _CENTRAL_BYTES + sum(struct.unpack_from("<3H", table, at + 28))
    if at != directory.size:
        raise _broken("its table of contents holds more or less than it announces")


def _broken(what: str) -> InvalidInput:
    return InvalidInput("zip_broken", f"The zip file cannot be read: {what}. {_PACK_AGAIN}")
