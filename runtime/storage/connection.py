"""HTTP to the storage API through the storage socket, asked again when it gives no answer. Blocking: called in threads."""

import contextlib
import http.client
import math
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from runtime.errors import StorageRefused, StorageUnavailable

TIMEOUT_SECONDS = 60.0
PAUSES = (0.2, 0.5, 1.5, 4.0)
ANSWER_LIMIT = 1024 * 1024
BUSY = 429

T = TypeVar("T")


class Dropped(Exception):
    """No answer, or one that asks to come again. `progress`: more of a transfer has arrived than before."""

    def __init__(self, reason: str, *, progress: bool = False, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.progress = progress
        self.pause = pause


class Refusal(msgspec.Struct):
    """What storage says when it says no."""

    detail: str = ""


class _SocketConnection(http.client.HTTPConnection):
    """HTTP to a host that is reached through a unix socket. It follows no redirect."""

    def __init__(self, path: Path, host: str) -> None:
        super().__init__(host, timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class StorageConnections:
    """Opens connections to storage, one a request; `close` ends all of them at once, whatever they wait for."""

    def __init__(self, socket_path: Path, origin: str, pauses: tuple[float, ...] = PAUSES) -> None:
        self.origin = origin
        self._path = socket_path
        self._pauses = pauses
        self._open: set[_SocketConnection] = set()
        self._closed = threading.Event()

    @contextlib.contextmanager
    def open(self, url: str) -> Iterator[tuple[http.client.HTTPConnection, str]]:
        """A connection to the URL's host and the target to ask for; raises Dropped for whatever the network does."""
        parts = urlsplit(url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection = _SocketConnection(self._path, parts.netloc)
        self._open.add(connection)
        try:
            yield connection, target
        except (OSError, http.client.HTTPException) as error:
            raise Dropped(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
        finally:
            self._open.discard(connection)
            connection.close()

    def persist(self, what: str, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it gives something; raises StorageUnavailable when it was dropped too often without any progress."""
        failures = 0
        while True:
            try:
                return attempt()
            except Dropped as dropped:
                failures = 1 if dropped.progress else failures + 1
                if failures > len(self._pauses) or self._closed.is_set():
                    raise StorageUnavailable(f"project storage could not {what}: {dropped} (asked {failures} times)") from dropped
                self._closed.wait(max(self._pauses[failures - 1], dropped.pause))

    def close(self) -> None:
        """End all transfers; those that come later fail."""
        self._closed.set()
        for connection in list(self._open):
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)


def read_answer(response: http.client.HTTPResponse) -> bytes:
    """The body of an answer in JSON; raises Dropped when the connection ended within it."""
    body = response.read(ANSWER_LIMIT)
    if response.length:
        raise Dropped("the answer is not complete")
    return body


def check_status(response: http.client.HTTPResponse, what: str, *wanted: int) -> None:
    """Raises StorageRefused with storage's own words, Dropped where it asks to come again or fails."""
    if response.status in wanted:
        return
    detail = _detail(response.read(ANSWER_LIMIT))
    if response.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or response.status == BUSY:
        raise Dropped(f"it answered {response.status}{detail}", pause=_retry_after(response))
    raise StorageRefused(f"project storage refused to {what}: it answered {response.status}{detail}")


def _retry_after(response: http.client.HTTPResponse) -> float:
    try:
        wanted = float(response.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
    return min(wanted, PAUSES[-1]) if math.isfinite(wanted) else 0.0


def _detail(body: bytes) -> str:
    try:
        detail = msgspec.json.decode(body, type=Refusal).detail
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return f": {detail}" if detail else ""


def same_origin(url: str, origin: str) -> bool:
    """True when `url` is an absolute address on exactly that scheme, host and port, without credentials."""
    try:
        given, allowed = urlsplit(url), urlsplit(origin)
    except ValueError:
        return False
    return (given.scheme, given.netloc) == (allowed.scheme, allowed.netloc) and bool(given.netloc)


def is_encoded(url: str) -> bool:
    """True when a URL holds only what may stand in a request line: printable ASCII without spaces."""
    return url.isascii() and url.isprintable() and " " not in url
