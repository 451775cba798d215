"""A client of direct uploads: asks the API, sends to the signed addresses."""

from __future__ import annotations

import hashlib
from typing import Any

import requests

from storage.bucket import bucket
from storage.models import Upload
from storage.sweep import sweep
from storage.verify import take_upload, verify_upload
from tests.storage.builders import Clock, StorageCaller

MIB = 1024 * 1024
PICTURE = bytes(range(256)) * 40


def announced(data: bytes, method: str, **fields: Any) -> dict[str, Any]:
    """Return the body that announces these bytes."""
    sha256 = {} if method == "multipart" else {"sha256": hashlib.sha256(data).hexdigest()}
    return {"size": len(data), "method": method, "content_type": "image/png", **sha256, **fields}


def begin(caller: StorageCaller, data: bytes, method: str, **fields: Any) -> dict[str, Any]:
    """Begin an upload of these bytes."""
    answer = caller.post("/v1/uploads/", announced(data, method, **fields), format="json")
    assert answer.status_code == 201, answer.content
    return dict(answer.json())


def send(upload: dict[str, Any], data: bytes, *, only: set[int] | None = None) -> None:
    """Send the bytes, or some of the parts, to the signed addresses."""
    if request := upload["request"]:
        assert post_or_put(request, data).status_code in (200, 204)
        return
    for part in upload["parts"]:
        if only is None or part["number"] in only:
            at = (part["number"] - 1) * upload["part_size"]
            answer = requests.put(part["url"], data=data[at : at + part["size"]], timeout=30)
            assert answer.status_code == 200, answer.text


def post_or_put(request: dict[str, Any], data: bytes) -> requests.Response:
    """Send what a signed request describes."""
    if request["method"] == "POST":
        return requests.post(request["url"], data=request["fields"], files={"file": ("any", data)}, timeout=30)
    return requests.put(request["url"], data=data, headers=request["headers"], timeout=30)


def complete(caller: StorageCaller, upload: dict[str, Any], **body: Any) -> Any:
    """Complete it."""
    return caller.post(f"/v1/uploads/{upload['uid']}/complete/", body, format="json")


def state(caller: StorageCaller, upload: dict[str, Any]) -> dict[str, Any]:
    """Look at it."""
    answer = caller.get(f"/v1/uploads/{upload['uid']}/")
    assert answer.status_code == 200
    return dict(answer.json())


def verify_all() -> None:
    """Do a worker's work."""
    while upload := take_upload():
        verify_upload(upload)


def settle(clock: Clock) -> None:
    """Let weeks pass in which sweeps run, so that everything has ended that ends by itself."""
    for _ in range(4):
        clock.advance(days=4)
        while sweep().removed:
            pass
    assert not list(bucket().unjoined("objects/"))
    assert not Upload.objects.exists()
