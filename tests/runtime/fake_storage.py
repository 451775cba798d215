"""A storage API on a unix socket, as the runtime meets it. It can refuse, drop connections and lie about its objects."""

from __future__ import annotations

import hashlib
import json
import re
import socketserver
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.runtime.process import STORAGE_TOKEN

ORIGIN = "http://storage.test:8000"
CHUNK = 1 << 20


@dataclass
class StoredThing:
    """One object: its description and where its bytes lie."""

    row: dict[str, Any]
    path: Path

    @property
    def content(self) -> bytes:
        """All bytes."""
        return self.path.read_bytes()


class Storage(socketserver.ThreadingUnixStreamServer):
    """`asked` are the requests seen as (method, path, range). Faults are used up one by one: each is a (method, action) pair.

    `sending` is released for each content that begins to be sent; `gate` holds all of them until it is set.

    Actions: a number of bytes after which the connection ends, or (status, body) as the answer.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket_path = folder / "storage.sock"
        self.things: dict[str, StoredThing] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.faults: list[tuple[str, int | tuple[int, dict[str, str]]]] = []
        self.ranges = True
        self.created: list[str] = []
        self.in_hand = 0
        self.most_in_hand = 0
        self.gate: threading.Event | None = None
        self.upload_gate: threading.Event | None = None
        self.sending = threading.Semaphore(0)
        self.guard = threading.Lock()
        super().__init__(str(self.socket_path), StorageHandler)

    def hold_uploads(self) -> None:
        """Let uploads wait for `release` before they are answered."""
        self.upload_gate = threading.Event()

    def release(self) -> None:
        """Let everything go on."""
        for gate in (self.gate, self.upload_gate):
            if gate is not None:
                gate.set()

    @property
    def arguments(self) -> tuple[str, ...]:
        """What a runtime is told to find this storage."""
        return ("--storage-socket", str(self.socket_path), "--storage-origin", ORIGIN)

    def add(self, content: bytes | Path, content_type: str = "application/octet-stream", **changes: Any) -> str:
        """A new object; gives its uid. `changes` to its description make it lie."""
        uid = str(uuid.uuid4())
        path = content if isinstance(content, Path) else self.folder / uid
        if isinstance(content, bytes):
            path.write_bytes(content)
        row = {
            "uid": uid,
            "path": None,
            "download_url": f"{ORIGIN}/v1/contents/{uid}/",
            "is_directory_archive": False,
            "content_type": content_type,
            "sha256": sha256_of(path),
            "size": path.stat().st_size,
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": None,
        }
        self.things[uid] = StoredThing(row | changes, path)
        return uid

    def saved(self, result: dict[str, Any]) -> bytes:
        """The bytes of a result that names an object."""
        reference = result["storage_object"]
        uid = str(reference["metadata"]["uid"])
        assert reference["url"] == f"{ORIGIN}/v1/objects/?uid={uid}"
        assert uid in self.created
        return self.things[uid].content


def sha256_of(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def reference(uid: str, data_type: str, **more: Any) -> dict[str, Any]:
    """An input that lies in storage."""
    return {"storage_object": {"url": f"{ORIGIN}/v1/objects/?uid={uid}", "data_type": data_type, **more}}


class StorageHandler(BaseHTTPRequestHandler):
    """Answers from the server's table."""

    protocol_version = "HTTP/1.1"
    server: Storage

    def do_GET(self) -> None:
        """Descriptions and contents, only with the token."""
        fault = self.begin("GET")
        if isinstance(fault, tuple):
            self.answer(*fault)
            return
        if found := re.fullmatch(r"/v1/objects/\?uid=([\w-]+)", self.path):
            thing = self.server.things.get(found[1])
            rows = [] if thing is None else [thing.row]
            self.answer(200, {"count": len(rows), "next": None, "previous": None, "results": rows}, cut=fault)
        elif (found := re.fullmatch(r"/v1/contents/([\w-]+)/", self.path)) and found[1] in self.server.things:
            self.send_content(self.server.things[found[1]], fault)
        else:
            self.answer(404, {"code": "not_found", "detail": "There is no such object."})

    def do_POST(self) -> None:
        """A new temporary object."""
        fault = self.begin("POST")
        if isinstance(fault, tuple):
            self.close_connection = True
            self.answer(*fault)
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if fault is not None:
            self.close_connection = True
            return
        if self.server.upload_gate is not None:
            self.server.sending.release()
            self.server.upload_gate.wait(60)
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        fields = {}
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="(\w+)"', head)
            assert name is not None
            fields[name[1].decode()] = (head, content.removesuffix(b"\r\n"))
        head, content = fields["file"]
        kind = re.search(rb"Content-Type: (\S+)", head)
        assert kind is not None
        archive = fields.get("is_directory_archive", (b"", b""))[1] == b"true"
        uid = self.server.add(content, kind[1].decode(), is_directory_archive=archive, expires_at="2026-01-01T01:00:00Z")
        self.server.created.append(uid)
        self.answer(201, self.server.things[uid].row)

    def begin(self, method: str) -> Any:
        """Note the request, check the token; gives the fault that is due."""
        self.server.asked.append((method, self.path, self.headers["Range"]))
        if self.headers["Authorization"] != f"Bearer {STORAGE_TOKEN}" or self.headers["Host"] != "storage.test:8000":
            return (401, {"code": "not_authenticated", "detail": "The token is not valid."})
        for index, (due, action) in enumerate(self.server.faults):
            if due in (method, f"{method} {self.path}"):
                del self.server.faults[index]
                return action
        return None

    def answer(self, status: int, body: Any, *, cut: int | None = None) -> None:
        """Send JSON, or its first `cut` bytes."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:cut])
        if cut is not None:
            self.close_connection = True

    def send_content(self, thing: StoredThing, cut: int | None) -> None:
        """Stream an object, from where it is asked for; stop after `cut` bytes."""
        size = thing.path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "") if self.server.ranges else None
        start = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        with self.server.guard:
            self.server.in_hand += 1
            self.server.most_in_hand = max(self.server.most_in_hand, self.server.in_hand)
        try:
            self.server.sending.release()
            if self.server.gate is not None:
                self.server.gate.wait(60)
            self.copy(thing.path, start, size - start if cut is None else cut)
        finally:
            with self.server.guard:
                self.server.in_hand -= 1
        self.close_connection = cut is not None

    def copy(self, path: Path, start: int, left: int) -> None:
        """Write so many bytes of a file."""
        with path.open("rb") as file:
            file.seek(start)
            while left > 0 and (chunk := file.read(min(CHUNK, left))):
                self.wfile.write(chunk)
                left -= len(chunk)

    def log_message(self, *arguments: Any) -> None:
        """Silent."""


@contextmanager
def run_storage() -> Iterator[Storage]:
    """A storage that serves until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="sw-") as folder, Storage(Path(folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.release()
            server.shutdown()
            thread.join()
