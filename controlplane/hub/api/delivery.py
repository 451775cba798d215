"""Files of the HUB on their way out: zips as attachments, icons as nothing but pictures."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes

from controlplane.common.errors import NotFound
from controlplane.common.objectstore import object_store

ZIP: Any = {(200, "application/zip"): OpenApiTypes.BINARY}
PICTURE: Any = {(200, "image/png"): OpenApiTypes.BINARY}


def zip_response(key: str, filename: str) -> FileResponse:
    """Stream a zip of the object store."""
    return FileResponse(object_store().open_stream(key), as_attachment=True, filename=filename, content_type="application/zip")


def icon_response(key: str, content_type: str, *, public: bool) -> FileResponse:
    """Stream an icon; whatever its bytes hold, no browser takes it for a page or a script. Raises `NotFound` where there is none."""
    if not key:
        raise NotFound("not_found", "This algorithm has no icon.")
    answer = FileResponse(object_store().open_stream(key), content_type=content_type)
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer["Content-Disposition"] = "inline"
    answer["Cache-Control"] = f"{'public' if public else 'private'}, max-age=300"
    return answer
