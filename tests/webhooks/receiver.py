"""A receiver of webhooks on loopback, and what it was sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Keeps the request, then does what the receiver says."""

    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keep(Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.server.reply(self)

    def do_GET(self) -> None:
        self.server.keep(Received(self.path, {}, b""))
        self.answer(200)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer."""
        self.server.last_status = status
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Receiver(ThreadingHTTPServer):
    """Listens on a free port of loopback; `reply` is what it does after it has kept a request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[Received] = []
        self.reply: Reply = answers(200)
        self.released = threading.Event()
        self.last_status = 0
        self._arrived = threading.Condition()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}/hook"

    def keep(self, request: Received) -> None:
        """Note a request."""
        with self._arrived:
            self.received.append(request)
            self._arrived.notify_all()

    def await_requests(self, count: int) -> None:
        """Wait until so many have arrived."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.received) >= count, timeout=20), f"{len(self.received)} of {count} arrived"

    def handle_error(self, *_: Any) -> None:
        """Say nothing: senders leave when they have waited long enough."""

    def close(self) -> None:
        """Stop, and let everything go that still waits."""
        self.released.set()
        self.shutdown()
        self.server_close()


def answers(status: int, body: bytes = b"", **headers: str) -> Reply:
    """Answer with a status."""
    return lambda handler: handler.answer(status, body, **headers)


def hangs(handler: Handler) -> None:
    """Say nothing until the test is over."""
    handler.server.released.wait(30)
    handler.close_connection = True


def closes(handler: Handler) -> None:
    """End the connection in place of an answer."""
    handler.close_connection = True


def babbles(handler: Handler) -> None:
    """Send something that is no HTTP."""
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n\r\n")
    handler.close_connection = True


def drips(handler: Handler) -> None:
    """Answer a byte at a time, each soon enough for a reader who waits for single ones."""
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"." * 10_000:
        if handler.server.released.wait(0.02):
            return
        handler.wfile.write(bytes([byte]))


def floods(handler: Handler) -> None:
    """Answer 200, and then a body without an end."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.released.is_set():
        handler.wfile.write(b"x" * 65536)


def is_signed(request: Received, secret: str) -> bool:
    """Verify as a receiver would, from the description of the scheme alone."""
    key = base64.b64decode(secret.split("_", 1)[1])
    content = b".".join([request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body])
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    given = [part.split(",", 1) for part in request.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(text, expected) for version, text in given)
