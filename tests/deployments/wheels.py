"""Packages for tests: wheels made on the spot, in a folder or behind a small index on loopback."""

from __future__ import annotations

import base64
import hashlib
import http.server
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    needs: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    python: str = "",
    tag: str = "py3-none-any",
) -> Path:
    """A wheel with one module (and `files`) that says its version."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {one}" for one in needs)]
    metadata += [f"Requires-Python: {python}"] if python else []
    content = {f"{name}/__init__.py": f"VERSION = '{version}'\n", **(files or {})}
    content[f"{info}/METADATA"] = "\n".join(metadata) + "\n"
    content[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    record = [f"{path},sha256={digest_of(text)},{len(text.encode())}" for path, text in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return target


def digest_of(text: str) -> str:
    """A hash as RECORD files write it."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Index(http.server.BaseHTTPRequestHandler):
    """The simple index of a folder of wheels. `status` other than 200 is what everybody gets."""

    folder: Path
    status = 200
    asked: list[str]

    def do_GET(self) -> None:
        """A package's page, or a file."""
        self.asked.append(self.path)
        parts = self.path.strip("/").split("/")
        wheels = sorted(path for path in self.folder.glob("*.whl") if path.name.split("-")[0] == parts[-1])
        if self.status != 200:
            return self.answer(self.status, b"", "text/plain")
        if parts[0] == "files":
            return self.answer(200, (self.folder / parts[1]).read_bytes(), "application/octet-stream")
        links = "".join(
            f'<a href="/files/{one.name}#sha256={hashlib.sha256(one.read_bytes()).hexdigest()}">{one.name}</a>' for one in wheels
        )
        return self.answer(200 if wheels else 404, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes, kind: str) -> None:
        """Send it."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve_index(folder: Path) -> Iterator[tuple[str, type[Index]]]:
    """Serve a folder of wheels on loopback; gives the index's address and what can be changed about it."""
    handler = type("FolderIndex", (Index,), {"folder": folder, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://user:hush@127.0.0.1:{server.server_port}/simple", handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
