"""Inputs that lie in project storage are fetched through the storage socket and from nowhere else."""

from __future__ import annotations

import json
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import StorageUnavailable
from runtime.run_request import StorageReference, same_origin
from runtime.storage import fetch_image
from tests.pictures import COINS
from tests.runtime.conftest import StartRuntime

ORIGIN = "http://storage.test:8000"
TOKEN = "token-of-the-caller"


class Storage(socketserver.ThreadingUnixStreamServer):
    """A storage API on a unix socket. `answers` maps a path to (status, headers, body); `asked` are the requests seen."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, str | None, str | None]] = []
        super().__init__(str(path), StorageHandler)

    def add_object(self, uid: str, body: bytes, *, download_url: str | None = None, **metadata: Any) -> None:
        """An object and its description."""
        row = {"uid": uid, "download_url": download_url or f"{ORIGIN}/v1/files/{uid}", "content_type": "image/png", **metadata}
        page = json.dumps({"count": 1, "next": None, "previous": None, "results": [row]}).encode()
        self.answers[f"/v1/objects/?uid={uid}"] = (200, {}, page)
        self.answers[f"/v1/files/{uid}"] = (200, {}, body)


class StorageHandler(BaseHTTPRequestHandler):
    """Answers from the server's table."""

    protocol_version = "HTTP/1.1"
    server: Storage

    def do_GET(self) -> None:
        """Look the path up; only with the token."""
        self.server.asked.append((self.path, self.headers["Host"], self.headers["Authorization"]))
        status, headers, body = self.server.answers.get(self.path, (404, {}, b"{}"))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            status, headers, body = 401, {}, b"{}"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Silent."""


@pytest.fixture
def storage() -> Iterator[Storage]:
    """A storage with one picture, `coins`."""
    with tempfile.TemporaryDirectory(prefix="sw-") as folder, Storage(Path(folder) / "storage.sock") as server:
        server.add_object("coins", COINS.read_bytes(), size=COINS.stat().st_size)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(storage: Storage, uid: str, url: str | None = None, token: str = TOKEN) -> bytes:
    """Fetch as the runtime does."""
    reference = StorageReference(url=url or f"{ORIGIN}/v1/objects/?uid={uid}")
    return fetch_image(reference, socket_path=Path(str(storage.server_address)), origin=ORIGIN, token=token)


def test_a_picture_is_fetched_with_the_callers_token(storage: Storage) -> None:
    assert fetch(storage, "coins") == COINS.read_bytes()
    assert storage.asked == [
        ("/v1/objects/?uid=coins", "storage.test:8000", f"Bearer {TOKEN}"),
        ("/v1/files/coins", "storage.test:8000", f"Bearer {TOKEN}"),
    ]


def test_a_plain_list_of_objects_is_understood_too(storage: Storage) -> None:
    status, headers, page = storage.answers["/v1/objects/?uid=coins"]
    storage.answers["/v1/objects/?uid=coins"] = (status, headers, json.dumps(json.loads(page)["results"]).encode())
    assert fetch(storage, "coins") == COINS.read_bytes()


def test_what_is_missing_is_told(storage: Storage) -> None:
    storage.answers["/v1/objects/?uid=none"] = (200, {}, b'{"count":0,"next":null,"previous":null,"results":[]}')
    with pytest.raises(StorageUnavailable, match="uid=none does not exist"):
        fetch(storage, "none")


def test_a_token_without_access_is_told(storage: Storage) -> None:
    with pytest.raises(StorageUnavailable, match="storage answered 401"):
        fetch(storage, "coins", token="another")


def test_a_download_from_elsewhere_is_not_followed(storage: Storage) -> None:
    storage.add_object("away", b"", download_url="http://169.254.169.254/latest/meta-data")
    with pytest.raises(StorageUnavailable, match="lies outside"):
        fetch(storage, "away")
    assert len(storage.asked) == 1


def test_a_redirect_is_not_followed(storage: Storage) -> None:
    storage.answers["/v1/files/coins"] = (302, {"Location": f"{ORIGIN}/v1/files/other"}, b"")
    with pytest.raises(StorageUnavailable, match="storage answered 302"):
        fetch(storage, "coins")


def test_an_object_that_is_too_large_is_refused_before_it_is_read(storage: Storage) -> None:
    storage.add_object("large", b"", size=101 * 1024 * 1024)
    with pytest.raises(StorageUnavailable, match="larger than 100 MB"):
        fetch(storage, "large")
    assert len(storage.asked) == 1


def test_what_is_no_picture_is_refused(storage: Storage) -> None:
    storage.add_object("text", b"hello")
    with pytest.raises(StorageUnavailable, match="not an image"):
        fetch(storage, "text")


def test_a_storage_that_is_away_is_told(tmp_path: Path) -> None:
    reference = StorageReference(url=f"{ORIGIN}/v1/objects/?uid=1")
    with pytest.raises(StorageUnavailable, match="could not be read"):
        fetch_image(reference, socket_path=tmp_path / "none.sock", origin=ORIGIN, token=TOKEN)


@pytest.mark.parametrize(
    "url",
    [
        "http://storage.test:8001/v1/objects/?uid=1",
        "https://storage.test:8000/v1/objects/?uid=1",
        "http://storage.test:8000@evil.test/v1/objects/?uid=1",
        "http://user@storage.test:8000/v1/objects/?uid=1",
        "http://storage.test/v1/objects/?uid=1",
        "/v1/objects/?uid=1",
        "http://[",
        "",
    ],
)
def test_other_origins_are_told_apart(url: str) -> None:
    assert not same_origin(url, ORIGIN)


def body(url: str, data_type: str = "image") -> dict[str, Any]:
    """A run on an object in storage."""
    return {"inputs": [{"storage_object": {"url": url, "data_type": data_type}}], "outputs": [{"task_name": "echo"}]}


def test_a_run_takes_its_picture_from_storage(runtime_process: StartRuntime, storage: Storage) -> None:
    arguments = ("--storage-socket", str(storage.server_address), "--storage-origin", ORIGIN)
    runtime = runtime_process("echo", *arguments).wait_until_ready()
    headers = {"X-Storage-Token": TOKEN}
    good = f"{ORIGIN}/v1/objects/?uid=coins"
    status, answer = runtime.put_run(body(good), headers=headers)
    assert (status, answer["state"]) == (200, "SUCCESS")
    assert answer["results"] == [{"DATA_DICT": {"text": "", "width": 384, "height": 303}}]
    status, answer = runtime.put_run(body(f"{ORIGIN}/v1/objects/?uid=gone"), headers=headers)
    assert (status, answer["state"], answer["error"]["code"]) == (200, "FAILURE", "storage_unavailable")
    refused = {
        "no_storage_token": runtime.put_run(body(good)),
        "wrong_storage": runtime.put_run(body("http://elsewhere.test/v1/objects/?uid=coins"), headers=headers),
        "not_supported": runtime.put_run(body(good, "folder_path"), headers=headers),
    }
    assert {code: (status, answer["code"]) for code, (status, answer) in refused.items()} == {code: (422, code) for code in refused}
