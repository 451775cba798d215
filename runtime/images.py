"""A first look at images without the engine: is it base64, and does it begin like an image."""

import binascii

import pybase64

from runtime.errors import InvalidRun

# First bytes of the formats that the engine's OpenCV reads.
_SIGNATURES: tuple[bytes, ...] = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\x00",  # TIFF, little endian
    b"MM\x00*",
    b"II+\x00",  # BigTIFF
    b"MM\x00+",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",
    b"#?RADIANCE",
    b"#?RGBE",
    b"v/1\x01",  # OpenEXR
    b"P1",
    b"P2",
    b"P3",
    b"P4",
    b"P5",
    b"P6",
    b"P7",
    b"Pf",
    b"PF",
)


def decode_base64(text: str, where: str) -> bytes:
    """The bytes of a base64 string; refuses anything else, naming the place."""
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRun("invalid_image", f"{where} is not base64: {error}") from error


def looks_like_image(data: bytes) -> bool:
    """True when the data begins like a picture in a format that the engine reads."""
    if data.startswith(_SIGNATURES):
        return True
    return (data[:4] == b"RIFF" and data[8:12] == b"WEBP") or data[4:12] == b"ftypavif"


def check_image(data: bytes, where: str) -> None:
    """Refuse data that is no picture; one that is broken further in fails in the engine with its own message."""
    if not data:
        raise InvalidRun("invalid_image", f"{where} is empty")
    if not looks_like_image(data):
        raise InvalidRun(
            "invalid_image", f"{where} is not an image in a supported format (JPEG, PNG, WebP, TIFF, BMP, GIF, JPEG 2000, PNM)"
        )
