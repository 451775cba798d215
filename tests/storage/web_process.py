"""A web process of its own beside the test database, a client that sends as slowly as a test wants, and a way to the store that can be cut."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

from controlplane.embedded.applications import FLAT_MEMORY, granian_words
from controlplane.embedded.options import REPOSITORY
from controlplane.embedded.ports import free_port
from controlplane.embedded.processes import descendants
from tests.storage.builders import BOUNDARY

PATIENCE_S = 30.0


def until(condition: Callable[[], object], what: str) -> None:
    """Return once the condition holds; fail when it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:.0f} s: {what}"
        time.sleep(0.01)


class WebProcess:
    """The web process as the embedded stack starts it, with the database and the bucket of the tests; `environment` replaces settings."""

    def __init__(self, log: Path, **environment: str) -> None:
        self.port = free_port()
        self._log = log
        database = urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + connection.settings_dict["NAME"]).geturl()
        whole = {"DJANGO_SETTINGS_MODULE": "controlplane.settings", "DATABASE_URL": database, "PUBLIC_URL": settings.PUBLIC_URL}
        self._environment = {**os.environ, **FLAT_MEMORY, **whole, **environment}
        self._child: subprocess.Popen[bytes]

    def start(self) -> WebProcess:
        """Start it and wait until it answers."""
        command = [sys.executable, *granian_words(self.port, workers="1")]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(command, cwd=REPOSITORY, env=self._environment, stdout=log, stderr=log, start_new_session=True)
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Return when it answers."""
        until(self._answers, "an answer of the web process")

    def kill(self) -> None:
        """SIGKILL to all of it."""
        self.signal(signal.SIGKILL)
        self._child.wait()

    def kill_worker(self) -> None:
        """SIGKILL to the process that has the requests; the other one starts the next."""
        for pid in descendants(self._child.pid):
            os.kill(pid, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)

    def _answers(self) -> bool:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            asked.request("GET", "/v1/infos")
            return asked.getresponse().status == 401
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()


class SlowUpload:
    """PUT of `content` to a path over a socket of its own; `send` and `finish` say when its bytes go. Use it as a context manager."""

    def __init__(self, port: int, token: str, path: str, content: bytes, **headers: str) -> None:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: video/mp4\r\n\r\n'
        self._rest = memoryview(head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode())
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        lines = [
            f"PUT /v1/objects/{path} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            f"Authorization: Bearer {token}",
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
            f"Content-Length: {len(self._rest)}",
            "Connection: close",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def __enter__(self) -> SlowUpload:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, size: int) -> None:
        """Send the next bytes and wait until the other end has taken them."""
        self._socket.sendall(self._rest[:size])
        self._rest = self._rest[size:]
        until(lambda: not self._unsent(), "bytes taken")

    def finish(self) -> tuple[int, Any]:
        """Send the rest and return status and JSON."""
        # Who refuses answers early; the answer is read all the same.
        with contextlib.suppress(OSError):
            self._socket.sendall(self._rest)
        answer = http.client.HTTPResponse(self._socket)
        answer.begin()
        with answer:
            return answer.status, json.loads(answer.read())

    def break_off(self, *, reset: bool) -> None:
        """Close the connection: as a program that ends does, or with a reset."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _unsent(self) -> int:
        found = fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0" * 4)
        return int.from_bytes(found, sys.byteorder)


class Wire:
    """A way to the object store; `cut()` ends its connections and takes no new ones."""

    def __init__(self, target: str) -> None:
        self._target = (urlsplit(target).hostname, urlsplit(target).port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Be gone."""
        for one in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inside, _ = self._listener.accept()
                outside = socket.create_connection(self._target)
                self._open += [inside, outside]
                for source, target in ((inside, outside), (outside, inside)):
                    threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def running(web: WebProcess) -> Iterator[WebProcess]:
    """Run it, and kill it at the end."""
    try:
        yield web.start()
    finally:
        web.kill()
