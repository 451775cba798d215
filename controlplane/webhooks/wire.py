"""One receiver on the wire: connections to checked addresses only, every wait bounded, nothing followed, next to nothing read."""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore

from controlplane.webhooks.destinations import Address, permitted

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
# Read so that the connection can be used again; of a longer answer nothing more than its status counts.
MOST_READ = 64 * 1024
USER_AGENT = "Slipway-Webhooks/1"
REDIRECTED = "It answered with a redirect, which is not followed: give the address that it leads to."

FAULTS: tuple[tuple[type[Exception], str], ...] = (
    (httpcore.ConnectTimeout, f"No connection within {CONNECT_SECONDS:g} s."),
    (httpcore.TimeoutException, f"No answer within {TOTAL_SECONDS:g} s."),
    (httpcore.ProtocolError, "The connection ended before the answer, or the answer is no HTTP."),
    (httpcore.NetworkError, "The connection failed"),
)


class ForbiddenAddress(Exception):
    """The name leads to no address that deliveries may be sent to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt: `status` is None and `error` says why when there was no answer. `retry_after` in seconds, if it was told."""

    status: int | None
    error: str
    duration_ms: int
    retry_after: int | None = None

    @property
    def accepted(self) -> bool:
        """Tell whether the receiver has taken it."""
        return self.status is not None and 200 <= self.status < 300


class Deadline:
    """The end of one attempt, whatever it is doing at the time."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin an attempt."""
        self._end = time.monotonic() + TOTAL_SECONDS

    def left(self, most: float = TOTAL_SECONDS) -> float:
        """Return the seconds that are left, at most `most`. Raises `httpcore.ReadTimeout` when none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return min(left, most)


class BoundedStream(httpcore.NetworkStream):
    """A connection on which no wait outlasts the deadline, however little arrives at a time."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read some bytes."""
        return self._inner.read(max_bytes, self._deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all bytes."""
        self._inner.write(buffer, self._deadline.left())

    def close(self) -> None:
        """Close."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Go on with TLS, for the name that the address was written with."""
        return BoundedStream(self._inner.start_tls(ssl_context, server_hostname, self._deadline.left(CONNECT_SECONDS)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """Answer what httpcore asks about the connection."""
        return self._inner.get_extra_info(info)


class CheckedNetwork(httpcore.NetworkBackend):
    """Connects to addresses that passed the check, by number: nothing looks the name up a second time."""

    def __init__(self, deadline: Deadline, *, local_only: bool) -> None:
        self._deadline = deadline
        self._local_only = local_only
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that answers. Raises `ForbiddenAddress` when none of them is permitted."""
        addresses = [address for address in resolve(host, port, self._deadline) if permitted(address, local_only=self._local_only)]
        if not addresses:
            raise ForbiddenAddress
        last: Exception | None = None
        for address in addresses:
            try:
                stream = self._inner.connect_tcp(str(address), port, timeout=self._deadline.left(CONNECT_SECONDS))
            except httpcore.ConnectError as error:
                last = error
            else:
                return BoundedStream(stream, self._deadline)
        raise last or ForbiddenAddress


def resolve(host: str, port: int, deadline: Deadline) -> list[Address]:
    """Return the addresses of a host. Raises `httpcore.ConnectError` for an unknown name and `ConnectTimeout` when nobody answers in time.

    The system's look-up knows no timeout, so it has a thread of its own, which is left behind when it takes too long.
    """
    found: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()
    threading.Thread(target=look_up, args=(host, port, found), name="webhook-dns", daemon=True).start()
    try:
        answer = found.get(timeout=deadline.left(CONNECT_SECONDS))
    except queue.Empty as error:
        raise httpcore.ConnectTimeout from error
    if isinstance(answer, OSError):
        raise httpcore.ConnectError("the name is not known") from answer
    return answer


def look_up(host: str, port: int, found: queue.SimpleQueue[list[Address] | OSError]) -> None:
    """Ask the system for a host's addresses, each once, in its order."""
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        found.put(error if isinstance(error, OSError) else OSError(str(error)))
        return
    # A zone ("fe80::1%eth0") is no part of the address that is checked, nor connected to.
    found.put([ipaddress.ip_address(text) for text in dict.fromkeys(str(row[4][0]).partition("%")[0] for row in rows)])


class Connection:
    """A receiver, connected when something is sent; one connection is kept for what follows."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self._host = parts.netloc
        self._deadline = Deadline()
        network = CheckedNetwork(self._deadline, local_only=parts.scheme == "http")
        self._pool = httpcore.ConnectionPool(ssl_context=trusted(), max_connections=1, network_backend=network)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one delivery; whatever happens is told in the answer."""
        self._deadline.start()
        started = time.monotonic()
        try:
            status, retry_after = self._send(body, headers)
        except Exception as error:  # a receiver can break a connection in any way
            return Answer(None, fault(error), elapsed(started))
        return Answer(status, "" if 200 <= status < 300 else told(status), elapsed(started), retry_after)

    def _send(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, int | None]:
        fixed = {"Host": self._host, "Content-Type": "application/json", "User-Agent": USER_AGENT, "Content-Length": str(len(body))}
        with self._pool.stream("POST", self._url, headers=list({**fixed, **headers}.items()), content=body) as response:
            retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
            drain(response)
            return response.status, int(retry_after) if retry_after.isdigit() and len(retry_after) < 10 else None


@cache
def trusted() -> ssl.SSLContext:
    """Return the authorities of the system (or of SSL_CERT_FILE), read once: reading them takes longer than a delivery."""
    return ssl.create_default_context()


def drain(response: httpcore.Response) -> None:
    """Read a short answer to its end. The status has been told already: what breaks here does not count."""
    read = 0
    with contextlib.suppress(Exception):
        for chunk in response.iter_stream():
            read += len(chunk)
            if read > MOST_READ:
                return


def elapsed(started: float) -> int:
    """Return the milliseconds since a moment of the monotonic clock."""
    return int((time.monotonic() - started) * 1000)


def told(status: int) -> str:
    """Return what a status says that is not one of success."""
    return REDIRECTED if 300 <= status < 400 else f"It answered {status}."


def fault(error: Exception) -> str:
    """Return what went wrong, for the receiver's owner: no inside of our network, no content of an answer."""
    if isinstance(error, ForbiddenAddress):
        return "The name leads to no public address. An operator can allow networks: WEBHOOK_ALLOWED_NETWORKS."
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate was not accepted: {cause.verify_message}."
        cause = cause.__cause__ or cause.__context__
    sentence = next((sentence for kind, sentence in FAULTS if isinstance(error, kind)), f"It failed with {type(error).__name__}.")
    return f"{sentence}: {error}."[:300] if sentence[-1] != "." else sentence
