"""Examples of direct uploads in the API description."""

from typing import Any

from storage.api.examples import OBJECT

UPLOAD_UID = "0198b2d0-7c11-7a52-8d13-5b2f0c9e6a77"
STORE = "https://storage.slipway.example.com/slipway"
SIGNED = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=86400&X-Amz-Signature=…"
ASKED_PUT: dict[str, Any] = {
    "path": OBJECT["path"],
    "size": OBJECT["size"],
    "content_type": OBJECT["content_type"],
    "sha256": OBJECT["sha256"],
    "method": "put",
}
ASKED_PARTS: dict[str, Any] = {"path": "videos/night shift.mp4", "size": 40_000_000, "content_type": "video/mp4", "method": "multipart"}
COMMON: dict[str, Any] = {
    "uid": UPLOAD_UID,
    "url": f"https://slipway.example.com/v1/uploads/{UPLOAD_UID}/",
    "state": "open",
    "created_at": "2026-03-02T08:58:20.403Z",
    "expires_at": "2026-03-03T08:58:20.403Z",
    "object": None,
    "problem": None,
}
UPLOAD_PUT: dict[str, Any] = {**COMMON, **ASKED_PUT, "part_size": None}
UPLOAD_PARTS: dict[str, Any] = {**COMMON, **ASKED_PARTS, "sha256": None, "part_size": 16_777_216}
PARTS: list[dict[str, Any]] = [
    {"number": number, "size": size, "url": f"{STORE}/objects/…?partNumber={number}&{SIGNED}", "headers": {}}
    for number, size in ((1, 16_777_216), (2, 16_777_216), (3, 6_445_568))
]
RECEIVED: list[dict[str, Any]] = [{"number": 1, "size": 16_777_216, "etag": '"79b281060d337b9b2b84ccf390adcf74"'}]
BEGUN_PUT: dict[str, Any] = {
    **UPLOAD_PUT,
    "request": {
        "method": "PUT",
        "url": f"{STORE}/objects/…?{SIGNED}",
        "headers": {"Content-Type": "video/mp4", "x-amz-checksum-sha256": "youborisAi4Xwc0v3py9zeUokf+//MVUnN12tl0SmQ4="},
        "fields": {},
    },
    "parts": [],
}
BEGUN_PARTS: dict[str, Any] = {**UPLOAD_PARTS, "request": None, "parts": PARTS}
VERIFYING: dict[str, Any] = {**UPLOAD_PARTS, "state": "verifying", "expires_at": None}
FAILED: dict[str, Any] = {
    **UPLOAD_PARTS,
    "state": "failed",
    "problem": {"code": "wrong_sha256", "detail": "The bytes that arrived have another SHA-256. Nothing was stored; send them again."},
}
