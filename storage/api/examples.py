"""Examples of the API description."""

from typing import Any

UID = "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11"
OBJECT: dict[str, Any] = {
    "uid": UID,
    "path": "inspections/2026-03/belt 4.mp4",
    "download_url": f"https://slipway.example.com/v1/contents/{UID}/",
    "is_directory_archive": False,
    "content_type": "video/mp4",
    "sha256": "ca8b9ba2b8ac022e17cd18c9bde2cc0291ffbfcc5549cdd76b65d12990ed3a93",
    "size": 18_234_567,
    "created_at": "2026-03-02T08:58:20.403Z",
    "updated_at": "2026-03-02T08:58:20.403Z",
    "expires_at": None,
}
TEMPORARY: dict[str, Any] = {**OBJECT, "path": None, "expires_at": "2026-03-02T09:58:20.403Z"}
LINK = {"presigned_download_url": "https://storage.example.com/slipway/objects/…?X-Amz-Expires=3600&X-Amz-Signature=…"}
INFOS = {
    "count": 1204,
    "used_bytes": 8_400_000_000,
    "total_bytes": 10_737_418_240,
    "reserved_bytes": 0,
    "anonymous_objects": {"count": 3, "used_bytes": 54_703_701},
}
