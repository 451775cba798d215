"""The files that a zip says it holds, each one judged by what is declared before a byte of it is unpacked."""

from __future__ import annotations

import stat
import struct
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from controlplane.common.errors import InvalidInput
from controlplane.projects.archive.container import Directory
from controlplane.projects.archive.limits import ArchiveLimits
from controlplane.projects.archive.names import NameSet, check_name
from controlplane.projects.archive.wording import mebibytes, quoted

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz", 99: "AES encryption"}
_LOCAL = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or folder of the archive; sizes and the position of its packed data are in bytes."""

    name: str
    is_folder: bool
    size: int
    packed_size: int
    is_deflated: bool
    checksum: int
    position: int


def list_entries(stream: BinaryIO, directory: Directory, *, limits: ArchiveLimits) -> list[Entry]:
    """All entries in the order of their data: safely named, of sane sizes, none overlapping another.

    Raises InvalidInput with the codes of this module and of `names`.
    """
    infos = _parse(stream)
    names = NameSet()
    for info in infos:
        for name in {info.orig_filename, info.filename}:
            check_name(name, limits=limits)
        _check_entry(info, limits=limits)
        names.add(info.filename.rstrip("/"), is_folder=info.is_dir())
    _check_totals(infos, limits=limits)
    infos.sort(key=lambda info: info.header_offset)
    found, end = [], 0
    for info in infos:
        if info.header_offset < end:
            raise InvalidInput("zip_overlap", f"The data of {quoted(info.filename)} overlaps that of another file: this is a zip bomb.")
        position = _data_position(stream, info, before=directory.offset)
        end = position + info.compress_size
        if end > directory.offset:
            raise InvalidInput("zip_broken", f"The data of {quoted(info.filename)} runs past the end of the files. Pack the archive again.")
        is_deflated = info.compress_type == zipfile.ZIP_DEFLATED
        found.append(Entry(info.filename, info.is_dir(), info.file_size, info.compress_size, is_deflated, info.CRC, position))
    return found


def _data_position(stream: BinaryIO, info: zipfile.ZipInfo, *, before: int) -> int:
    """Where the packed bytes of `info` begin, after a check that its local header tells the same as the table of contents."""
    if info.header_offset + _LOCAL.size > before:
        raise InvalidInput("zip_broken", f"The header of {quoted(info.filename)} lies outside the files. Pack the archive again.")
    stream.seek(info.header_offset)
    header = _LOCAL.unpack(stream.read(_LOCAL.size))
    signature, flags, method = header[0], header[2], header[3]
    name_length: int = header[9]
    extra_length: int = header[10]
    name = stream.read(name_length)
    told = name.decode("utf-8" if flags & 0x800 else "cp437", errors="replace")
    if signature != b"PK\x03\x04" or told != info.orig_filename or method != info.compress_type or flags & _ENCRYPTED:
        raise InvalidInput(
            "zip_broken", f"The header of {quoted(info.filename)} contradicts the table of contents of the zip. Pack the archive again."
        )
    return info.header_offset + _LOCAL.size + name_length + extra_length


def _parse(stream: BinaryIO) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(stream) as archive:
            return list(archive.infolist())
    except UnicodeError as error:
        raise InvalidInput("unsafe_name", "A file name in the archive is not valid UTF-8. Rename the file and pack again.") from error
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OverflowError) as error:
        raise InvalidInput(
            "zip_broken", "The zip file cannot be read: its table of contents is damaged. Pack the archive again."
        ) from error


def _check_entry(info: zipfile.ZipInfo, *, limits: ArchiveLimits) -> None:
    name = quoted(info.filename)
    if info.flag_bits & _ENCRYPTED:
        raise InvalidInput("zip_encrypted", f"The file {name} is encrypted. Pack the archive without a password.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        method = _METHODS.get(info.compress_type, f"method {info.compress_type}")
        raise InvalidInput(
            "zip_compression",
            f"The file {name} is compressed with {quoted(method)}; deflate and stored are supported. Pack the archive again.",
        )
    if info.volume:
        raise InvalidInput("zip_multi_disk", f"The file {name} lies in another part of a split zip. Pack the archive as one file.")
    _check_kind(info)
    stored_lie = info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size
    if stored_lie or (info.is_dir() and info.file_size):
        raise InvalidInput("zip_size_mismatch", f"The sizes told for {name} contradict each other. Pack the archive again.")
    if info.file_size > limits.file_bytes:
        raise InvalidInput(
            "file_too_large",
            f"The file {name} has {mebibytes(info.file_size)}; a file may have {mebibytes(limits.file_bytes)}. Use a smaller one.",
        )
    if info.file_size > limits.ratio_from_bytes and info.file_size > limits.ratio * info.compress_size:
        raise InvalidInput(
            "compression_ratio",
            f"The file {name} grows from {mebibytes(info.compress_size)} to {mebibytes(info.file_size)}, more than {limits.ratio} times: "
            "this looks like a zip bomb. Leave the file out or store it uncompressed.",
        )


def _check_kind(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a symbolic link" if kind == stat.S_IFLNK else "a device, pipe or socket"
        raise InvalidInput(
            "special_file",
            f"The entry {quoted(info.filename)} is {what}; an archive holds files and folders only. Pack the file it stands for.",
        )
    if (kind == stat.S_IFDIR) != info.is_dir() and kind:
        raise InvalidInput(
            "special_file", f"The entry {quoted(info.filename)} is marked as a file and as a folder. Pack the archive again."
        )


def _check_totals(infos: list[zipfile.ZipInfo], *, limits: ArchiveLimits) -> None:
    total = sum(info.file_size for info in infos)
    packed = sum(info.compress_size for info in infos)
    if total > limits.unpacked_bytes:
        raise InvalidInput(
            "unpacked_too_large",
            f"The archive unpacks to {mebibytes(total)}; {mebibytes(limits.unpacked_bytes)} are allowed. Leave out files.",
        )
    if total > 16 * limits.ratio_from_bytes and total > limits.ratio * packed:
        raise InvalidInput(
            "compression_ratio",
            f"The archive unpacks to more than {limits.ratio} times its size ({mebibytes(total)}): this looks like a zip bomb.",
        )
