"""The contents of a zip, unpacked in memory a piece at a time and held to what was declared."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from controlplane.common.errors import InvalidInput
from controlplane.projects.archive.entries import Entry
from controlplane.projects.archive.wording import quoted

PIECE = 256 * 1024


def read_member(stream: BinaryIO, entry: Entry) -> Iterator[bytes]:
    """The unpacked bytes of `entry` in pieces of at most `PIECE` bytes.

    Raises InvalidInput: `zip_size_mismatch` as soon as more comes out than was declared, or at the end if less did;
    `zip_checksum` when the contents are damaged. Never trusts the end of the data to be where it was said to be.
    """
    count, checksum = 0, 0
    for piece in _pieces(stream, entry):
        count += len(piece)
        if count > entry.size:
            break
        checksum = zlib.crc32(piece, checksum)
        yield piece
    if count != entry.size:
        raise InvalidInput(
            "zip_size_mismatch", f"The file {quoted(entry.name)} does not have the size it declares. Pack the archive again."
        )
    if checksum != entry.checksum:
        raise InvalidInput("zip_checksum", f"The file {quoted(entry.name)} is damaged: its checksum is wrong. Pack and push it again.")


def check_member(stream: BinaryIO, entry: Entry) -> None:
    """Read all of `entry` and forget it."""
    for _ in read_member(stream, entry):
        pass


def _pieces(stream: BinaryIO, entry: Entry) -> Iterator[bytes]:
    packed = _packed(stream, entry)
    if not entry.is_deflated:
        yield from packed
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for raw in packed:
            rest = raw
            while rest and not inflate.eof:
                yield inflate.decompress(rest, PIECE)
                rest = inflate.unconsumed_tail
        while not inflate.eof and (piece := inflate.decompress(b"", PIECE)):
            yield piece
    except zlib.error as error:
        raise InvalidInput(
            "zip_checksum", f"The file {quoted(entry.name)} is damaged: it cannot be unpacked. Pack and push it again."
        ) from error
    if not inflate.eof or inflate.unused_data or next(packed, None):
        raise InvalidInput(
            "zip_size_mismatch", f"The file {quoted(entry.name)} does not have the packed size it declares. Pack the archive again."
        )


def _packed(stream: BinaryIO, entry: Entry) -> Iterator[bytes]:
    position, left = entry.position, entry.packed_size
    while left:
        stream.seek(position)
        raw = stream.read(min(left, PIECE))
        if not raw:
            raise InvalidInput("zip_truncated", f"The zip file ends in the middle of {quoted(entry.name)}. Pack and push it again.")
        position += len(raw)
        left -= len(raw)
        yield raw
