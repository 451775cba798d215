"""A small HTTP/1.1 client to the runtimes: keep-alive connections over unix sockets, TCP or TLS, a body sent as it is.

A library costs more here than everything else on the run path together (docs/gateway.md has the figures). Two moments of an answer matter:
its *start* (the first byte of the body: the runtime holds the input) and its *end* (the run has ended).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

logger = logging.getLogger("gateway.runtime")

CONNECT_TIMEOUT = 3.0
IDLE_CONNECTIONS = 64


class RuntimeGone(Exception):
    """The runtime cannot be reached, or went away before its answer was complete. The same request may be sent again."""

    def __init__(self, detail: str, *, started: bool = False) -> None:
        super().__init__(detail)
        self.started = started


class ReplyTooLarge(Exception):
    """The answer is over the limit; it was not read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    retry_after: int | None = None


class Exchange:
    """One request and its answer. Both futures end in `RuntimeGone` or `ReplyTooLarge` when the answer breaks off."""

    __slots__ = ("ended", "started")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.started: asyncio.Future[int] = loop.create_future()
        self.ended: asyncio.Future[Reply] = loop.create_future()

    def fail(self, error: Exception) -> None:
        """Let both waits end in `error`, without complaint when nobody waits."""
        for future in (self.started, self.ended):
            if not future.done():
                future.set_exception(error)
                future.exception()


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self.used = False

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def request(self, head: bytes, body: bytes) -> Exchange:
        """Send a request; only one may be under way."""
        exchange = Exchange(self._pool.loop)
        if self._transport is None:
            exchange.fail(RuntimeGone("the connection is closed"))
            return exchange
        self._exchange, self._body, self._size, self._headers = exchange, [], 0, {}
        self._transport.write(head + body if len(body) < 65536 else head)
        if len(body) >= 65536:
            self._transport.write(body)
        return exchange

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(RuntimeGone(f"unreadable answer: {error}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the one who waits."""
        self._transport = None
        self._pool.forget(self)
        if self._exchange is not None:
            self._fail(RuntimeGone(f"connection lost: {exc or 'closed'}", started=self._exchange.started.done()))

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep the headers that matter."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """Take a piece of the answer; the first one tells that the runtime holds the input."""
        exchange = self._exchange
        if exchange is None:
            return
        self._size += len(data)
        if self._size > self._pool.max_reply:
            self._fail(ReplyTooLarge())
            self.close()
            return
        self._body.append(data)
        if not exchange.started.done():
            exchange.started.set_result(self._parser.get_status_code())

    def on_message_complete(self) -> None:
        """Hand the answer over and take the next request."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        status = self._parser.get_status_code()
        wait = self._headers.get("retry-after", "")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        reply = Reply(status, body, self._headers.get("content-type", "application/json"), int(wait) if wait.isdigit() else None)
        self._body = []
        keep = self._parser.should_keep_alive()
        # A new parser for each answer: an answer that came in many chunks leaves nothing behind.
        self._parser = httptools.HttpResponseParser(self)
        if keep:
            self.used = True
            self._pool.give_back(self)
        else:
            self.close()
        if not exchange.started.done():
            exchange.started.set_result(status)
        if not exchange.ended.done():
            exchange.ended.set_result(reply)

    def _fail(self, error: Exception) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail(error)


class Pool:
    """The connections to one runtime. `outstanding` counts the requests under way."""

    def __init__(self, address: str, *, max_reply: int) -> None:
        self.address = address
        self.max_reply = max_reply
        self.loop = asyncio.get_running_loop()
        self.outstanding = 0
        self._idle: list[Connection] = []
        self._parts = urlsplit(address)
        self._host = (self._parts.netloc or "runtime").encode()

    async def send(self, method: str, path: str, body: bytes = b"", *, token: str = "") -> Exchange:
        """Send a request and return at once. Raises `RuntimeGone` when no connection can be made."""
        head = self._head(method, path, len(body), token)
        connection = self._take() or await self._connect()
        exchange = connection.request(head, body)
        self.outstanding += 1
        exchange.ended.add_done_callback(self._count_end)
        return exchange

    async def fetch(self, method: str, path: str, body: bytes = b"", *, token: str = "") -> Reply:
        """Send an idempotent request and wait for its whole answer, once more when a kept connection turns out dead.

        Raises `RuntimeGone`, `ReplyTooLarge`.
        """
        try:
            return await (await self.send(method, path, body, token=token)).ended
        except RuntimeGone:
            return await (await self.send(method, path, body, token=token)).ended

    def close(self) -> None:
        """Close the idle connections."""
        for connection in list(self._idle):
            connection.close()

    def give_back(self, connection: Connection) -> None:
        """Take a connection for the next request."""
        if connection.usable and len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()

    def forget(self, connection: Connection) -> None:
        """Drop a closed connection."""
        if connection in self._idle:
            self._idle.remove(connection)

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    def _count_end(self, _: asyncio.Future[Reply]) -> None:
        self.outstanding -= 1

    def _head(self, method: str, path: str, size: int, token: str) -> bytes:
        head = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method.encode(), path.encode(), self._host)
        if size:
            head += b"content-type: application/json\r\ncontent-length: %d\r\n" % size
        if token:
            head += b"x-storage-token: %b\r\n" % token.encode()
        return head + b"\r\n"

    async def _connect(self) -> Connection:
        parts = self._parts
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                if parts.scheme == "unix":
                    _, connection = await self.loop.create_unix_connection(lambda: Connection(self), parts.path)
                else:
                    context = ssl.create_default_context() if parts.scheme == "https" else None
                    port = parts.port or (443 if context else 80)
                    _, connection = await self.loop.create_connection(
                        lambda: Connection(self), parts.hostname or "127.0.0.1", port, ssl=context
                    )
        except (OSError, TimeoutError) as error:
            raise RuntimeGone(f"no connection to {self.address}: {error or type(error).__name__}") from error
        return connection


class Runtimes:
    """The pools, one for each address; unused ones go after a while."""

    def __init__(self, *, max_reply: int) -> None:
        self._max_reply = max_reply
        self._pools: dict[str, Pool] = {}

    def pool(self, address: str) -> Pool:
        """Return the pool of an address (`unix:/path`, `http://host:port`, `https://host`)."""
        if (pool := self._pools.get(address)) is None:
            pool = self._pools[address] = Pool(address, max_reply=self._max_reply)
        return pool

    def outstanding(self, address: str) -> int:
        """Return how many requests are under way to an address."""
        pool = self._pools.get(address)
        return pool.outstanding if pool else 0

    def keep_only(self, addresses: set[str]) -> None:
        """Close the pools of all other addresses that have nothing under way."""
        for address in [one for one, pool in self._pools.items() if one not in addresses and not pool.outstanding]:
            self._pools.pop(address).close()

    def close(self) -> None:
        """Close all idle connections."""
        for pool in self._pools.values():
            pool.close()
