"""Icons are known by their content."""

from __future__ import annotations

import struct

import pytest

from controlplane.common.errors import InvalidInput
from controlplane.hub.icons import MAX_BYTES, check_icon
from tests.hub.algorithms import png

GIF = b"GIF89a" + struct.pack("<2H3B", 2, 2, 0x80, 0, 0) + bytes(6) + b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c" + bytes(4)
GIF += struct.pack("<2HB", 2, 2, 0) + b"\x02\x02\x4c\x01\0\x3b"
FRAME = b"\xff\xc0" + struct.pack(">HBHHB", 11, 8, 16, 8, 1) + b"\x01\x11\0"
JPEG = (
    b"\xff\xd8" + b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + bytes(9) + FRAME + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + b"abc\xff\xd9"
)
EXTENDED = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\x07\0\0" + b"\x07\0\0"
LOSSLESS = b"VP8L" + struct.pack("<I", 5) + b"\x2f" + (7 | 7 << 14).to_bytes(4, "little") + b"\0"
LOSSY = b"VP8 " + struct.pack("<I", 10) + bytes(3) + b"\x9d\x01\x2a" + struct.pack("<2H", 8, 8)


def webp(chunk):
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (png(), "image/png"),
        (GIF, "image/gif"),
        (JPEG, "image/jpeg"),
        (webp(EXTENDED), "image/webp"),
        (webp(LOSSLESS), "image/webp"),
        (webp(LOSSY), "image/webp"),
    ],
)
def test_whole_pictures_are_taken(data, content_type):
    assert check_icon(data) == content_type


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><script>alert(1)</script>",
        b"\x89PNG\r\n\x1a\n<script>alert(1)</script>",
        png()[:-1],
        png() + b"<script>alert(1)</script>",
        png().replace(b"IDAT", b"IDAX"),
        png(5000, 1),
        GIF + b"<script>",
        GIF[:20],
        b"GIF89a<script>alert(1)</script>",
        JPEG[:-2],
        JPEG[:30] + b"\xff\xd9",
        b"\xff\xd8\xff" + b"<script>" * 5,
        webp(EXTENDED) + b"x",
        webp(b"HTML" + bytes(20)),
        webp(b""),
        png() + bytes(MAX_BYTES),
    ],
)
def test_everything_else_is_refused(data):
    with pytest.raises(InvalidInput):
        check_icon(data)


@pytest.mark.parametrize("whole", [png(), GIF, JPEG, webp(EXTENDED), webp(LOSSLESS), webp(LOSSY)])
def test_a_picture_that_ends_anywhere_before_its_end_is_refused(whole):
    for end in range(len(whole)):
        with pytest.raises(InvalidInput):
            check_icon(whole[:end])
