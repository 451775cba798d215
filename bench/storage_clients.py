"""Who sends and fetches files in the storage bench: plain `http.client` for our side, boto3 with its defaults for the object store itself.

Both read from and write to files that the system has in memory. `http.client` sends blocks of 1 MiB and does nothing else; boto3 cuts files
into parts that ten threads send and fetch side by side.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from tests.stack import Stack

BLOCK = 1024 * 1024
BOUNDARY = "a-boundary-of-the-bench"
# As many as boto3 takes by default.
AT_ONCE = 10
PATIENCE_S = 60


def blocks_of(path: Path, first: int = 0, size: int | None = None) -> Iterator[bytes]:
    """Yield bytes of a file in blocks."""
    left = path.stat().st_size - first if size is None else size
    with path.open("rb") as file:
        file.seek(first)
        while left > 0 and (block := file.read(min(BLOCK, left))):
            left -= len(block)
            yield block


class ApiClient:
    """The storage API with a token, on one connection that stays open."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
        self._headers = {"Authorization": f"Bearer {token}"}

    def upload(self, path: str, blocks: Iterator[bytes], size: int) -> dict[str, Any]:
        """PUT a file of `size` bytes as a form; return the object."""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: video/mp4\r\n\r\n'.encode()
        tail = f"\r\n--{BOUNDARY}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield head
            yield from blocks
            yield tail

        kind = f"multipart/form-data; boundary={BOUNDARY}"
        headers = {"Content-Type": kind, "Content-Length": str(len(head) + size + len(tail))}
        return self._json("PUT", f"/v1/objects/{path}", body(), headers, status=201)

    def download(self, uid: str, target: Path | None) -> int:
        """GET an object into a file, or to nowhere; return its size."""
        self._connection.request("GET", f"/v1/contents/{uid}/", headers=self._headers)
        answer, block, size = self._connection.getresponse(), bytearray(BLOCK), 0
        view = memoryview(block)
        with (target or Path("/dev/null")).open("wb") as file:
            while count := answer.readinto(block):
                file.write(view[:count])
                size += count
        assert answer.status == 200, answer.status
        return size

    def get(self, path: str) -> dict[str, Any]:
        """GET JSON."""
        return self._json("GET", path, None, {}, status=200)

    def post(self, path: str, body: dict[str, Any], status: int) -> dict[str, Any]:
        """POST JSON."""
        return self._json("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}, status=status)

    def _json(self, method: str, path: str, body: Any, headers: dict[str, str], *, status: int) -> dict[str, Any]:
        self._connection.request(method, path, body, {**self._headers, **headers})
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == status, content
        told: dict[str, Any] = json.loads(content)
        return told


class Boto:
    """boto3 straight to the stack's object store."""

    def __init__(self, stack: Stack) -> None:
        env = stack.env
        self.bucket = env["S3_BUCKET"]
        self.client = boto3.client(
            "s3",
            endpoint_url=env["S3_ENDPOINT_URL"],
            aws_access_key_id=env["S3_ACCESS_KEY"],
            aws_secret_access_key=env["S3_SECRET_KEY"],
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=AT_ONCE),
        )

    def upload(self, path: Path) -> None:
        """Store a file, in parts."""
        self.client.upload_file(str(path), self.bucket, "bench/file")

    def put(self, path: Path) -> None:
        """Store a file in one request whose SHA-256 the store checks."""
        with path.open("rb") as file:
            self.client.put_object(Bucket=self.bucket, Key="bench/file", Body=file, ChecksumAlgorithm="SHA256")

    def download(self, target: Path) -> None:
        """Fetch the file."""
        self.client.download_file(self.bucket, "bench/file", str(target))


def put_directly(api: ApiClient, path: Path) -> None:
    """Upload in one request to a signed address, hash and all, until it is an object."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    size = path.stat().st_size
    announced = {"path": "direct", "overwrite": True, "method": "put", "size": size, "sha256": digest.hexdigest()}
    begun = api.post("/v1/uploads/", announced, 201)
    headers = {**begun["request"]["headers"], "Content-Length": str(size)}
    assert headers["x-amz-checksum-sha256"] == base64.b64encode(digest.digest()).decode()
    send(begun["request"]["url"], path, 0, size, headers)
    api.post(f"/v1/uploads/{begun['uid']}/complete/", {}, 201)


def put_parts_directly(api: ApiClient, path: Path) -> str:
    """Upload in parts side by side, until all is there and the upload complete; return its uid. A worker then reads it."""
    begun = api.post("/v1/uploads/", {"path": "direct", "overwrite": True, "method": "multipart", "size": path.stat().st_size}, 201)

    def send_part(part: dict[str, Any]) -> None:
        first = (part["number"] - 1) * begun["part_size"]
        send(part["url"], path, first, part["size"], {"Content-Length": str(part["size"])})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(send_part, begun["parts"]))
    api.post(f"/v1/uploads/{begun['uid']}/complete/", {}, 202)
    return str(begun["uid"])


def until_done(api: ApiClient, upload: str) -> None:
    """Ask until an upload has become an object."""
    deadline = time.monotonic() + PATIENCE_S
    while (state := api.get(f"/v1/uploads/{upload}/")["state"]) != "done":
        assert state == "verifying", state
        assert time.monotonic() < deadline, state
        time.sleep(0.01)


def send(url: str, path: Path, first: int, size: int, headers: dict[str, str]) -> None:
    """PUT bytes of a file to a signed address."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    connection.request("PUT", f"{parts.path}?{parts.query}", blocks_of(path, first, size), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()
