"""Icons: only complete PNG, JPEG, GIF and WebP files, known by what they hold, never by what they are called.

Sources: PNG (W3C, third edition), JPEG (ITU T.81, annex B), GIF89a specification, WebP container (RFC 9649).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from controlplane.common.errors import InvalidInput

MAX_BYTES = 1024 * 1024
MAX_SIDE = 4096
ADVICE = "Send a whole PNG, JPEG, GIF or WebP picture; SVG is not taken."


def check_icon(data: bytes) -> str:
    """Return the content type of a picture. Raises `InvalidInput`: `icon_too_large`, `icon_not_an_image`."""
    if len(data) > MAX_BYTES:
        raise InvalidInput("icon_too_large", f"An icon may have {MAX_BYTES // 1024} KiB. Make it smaller.", fields={"icon": ["too large"]})
    for start, content_type, measure in KINDS:
        if data.startswith(start):
            try:
                sides = measure(data)
            except (struct.error, IndexError, ValueError):
                sides = None
            if sides is not None and all(1 <= side <= MAX_SIDE for side in sides):
                return content_type
            raise refused(f"The icon is a damaged picture, or larger than {MAX_SIDE} pixels. {ADVICE}")
    raise refused(f"The icon is not a picture. {ADVICE}")


def refused(detail: str) -> InvalidInput:
    """Return the refusal of an icon."""
    return InvalidInput("icon_not_an_image", detail, fields={"icon": ["not a picture"]})


def measure_png(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG whose chunks are whole, from IHDR to an IEND that ends the file."""
    at, sides = 8, None
    kinds: list[bytes] = []
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 4 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(body) != checksum:
            return None
        if not kinds:
            sides = struct.unpack_from(">2I", body, 4)
        kinds.append(kind)
        at += 12 + length
    return sides if kinds[:1] == [b"IHDR"] and b"IDAT" in kinds and kinds.index(b"IEND") == len(kinds) - 1 else None


def measure_jpeg(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a JPEG: segments up to a frame and a scan, and the end marker at the end."""
    at, sides = 2, None
    while at < len(data):
        mark, kind, length = struct.unpack_from(">BBH", data, at)
        if mark != 0xFF:
            return None
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">2H", data, at + 5)
            sides = (width, height)
        at += 2 + length
        if kind == 0xDA:
            return sides if at < len(data) - 2 and data.endswith(b"\xff\xd9") else None
    return None


def measure_gif(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a GIF whose blocks are whole, with at least one picture and the trailer at the end."""
    width, height, flags = struct.unpack_from("<2HB", data, 6)
    at, pictures = 13 + color_table(flags), 0
    while data[at] != 0x3B:
        if data[at] == 0x2C:
            at += 11 + color_table(data[at + 9])
            pictures += 1
        elif data[at] == 0x21:
            at += 2
        else:
            return None
        while length := data[at]:
            at += 1 + length
        at += 1
    return (width, height) if pictures and at == len(data) - 1 else None


def color_table(flags: int) -> int:
    """Return the bytes of the colour table that the flags of a GIF announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def measure_webp(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP whose length is what its header says."""
    length, form, kind = struct.unpack_from("<I4s4s", data, 4)
    if form != b"WEBP" or length + 8 != len(data):
        return None
    if kind == b"VP8X":
        wide, high = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return wide, high
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<2H", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


KINDS: tuple[tuple[bytes, str, Callable[[bytes], tuple[int, int] | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png", measure_png),
    (b"\xff\xd8\xff", "image/jpeg", measure_jpeg),
    (b"GIF87a", "image/gif", measure_gif),
    (b"GIF89a", "image/gif", measure_gif),
    (b"RIFF", "image/webp", measure_webp),
)
