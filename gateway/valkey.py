"""A small pipelined Valkey client: one connection carries the commands of all requests, written as they come.

Why not a library: on the run path this costs a third of it (docs/gateway.md has the figures). It knows commands, scripts, published
messages and reconnecting, and nothing else. Every script of the gateway may run twice, so a lost answer is asked for again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import hiredis

from gateway.errors import StoreUnavailable
from gateway.gate import Gate

logger = logging.getLogger("gateway.valkey")

Argument = str | bytes | int | float
PUSHED = {b"message", b"subscribe", b"pong"}
# The server is there but cannot answer yet: after a start (LOADING), in a long script (BUSY), as a replica being promoted.
PASSING = ("LOADING", "BUSY", "MASTERDOWN", "READONLY", "TRYAGAIN")


# After what nobody thought of: going on is right, filling the log is not.
SLOW = 1.0


class ConnectionLost(Exception):
    """The connection ended before the answer came: whether the command ran is unknown."""


class ReplyError(Exception):
    """Valkey refused a command."""


class Connection(asyncio.Protocol):
    """One connection: answers come in the order of the commands."""

    def __init__(self, on_message: Callable[[list[bytes]], None] | None = None) -> None:
        self.closed = Gate()
        self._on_message = on_message
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Hand each answer to whoever waits for it."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if self._on_message is not None and isinstance(reply, list) and reply and reply[0] in PUSHED:
                self._on_message(reply)
                continue
            if not self._pending:
                self.abort()
                return
            waiter = self._pending.popleft()
            if waiter.done():
                continue
            if isinstance(reply, ReplyError):
                waiter.set_exception(reply)
            else:
                waiter.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who still wait that their answer will not come."""
        self._transport = None
        pending, self._pending = self._pending, deque()
        for waiter in pending:
            if not waiter.done():
                waiter.set_exception(ConnectionLost())
        self.closed.open()

    def execute(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command at once; the future holds its answer, a `ReplyError` or `ConnectionLost`."""
        waiter: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None:
            waiter.set_exception(ConnectionLost())
            return waiter
        self._pending.append(waiter)
        self._transport.write(packed(command))
        return waiter

    def send(self, *command: Argument) -> None:
        """Send a command whose answers come as messages."""
        if self._transport is not None:
            self._transport.write(packed(command))

    def abort(self) -> None:
        """Drop the connection now."""
        if self._transport is not None:
            self._transport.abort()


def packed(command: tuple[Argument, ...]) -> bytes:
    """Return a command as it goes over the wire."""
    # The stub of hiredis means a tuple of any length but says a tuple of one.
    encoded: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]
    return encoded


async def connect(url: str, on_message: Callable[[list[bytes]], None] | None = None) -> Connection:
    """Open a connection to `redis://[user:password@]host:port/db`, `rediss://…` or `unix://[:password@]/path?db=n` and sign in.

    Waits while the server loads its data. Raises `OSError`, `ConnectionLost` or `ReplyError`.
    """
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    if parts.scheme == "unix":
        _, connection = await loop.create_unix_connection(lambda: Connection(on_message), parts.path)
    else:
        context = ssl.create_default_context() if parts.scheme == "rediss" else None
        _, connection = await loop.create_connection(
            lambda: Connection(on_message), parts.hostname or "127.0.0.1", parts.port or 6379, ssl=context
        )
    try:
        await _sign_in(connection, parts.username, parts.password, parts.path if parts.scheme != "unix" else "")
    except BaseException:
        connection.abort()
        raise
    return connection


async def _sign_in(connection: Connection, user: str | None, password: str | None, path: str) -> None:
    if password:
        names = [unquote(user)] if user else []
        await connection.execute("AUTH", *names, unquote(password))
    if database := path.strip("/"):
        await connection.execute("SELECT", database)
    while True:
        try:
            await connection.execute("PING")
        except ReplyError as error:
            if not str(error).startswith(PASSING):
                raise
            await asyncio.sleep(0.05)
        else:
            return


class Valkey:
    """The commands' connection: reconnects for ever, reloads the scripts, asks again for what was lost."""

    def __init__(self, url: str, scripts: Mapping[str, bytes], *, patience: float, on_ready: Callable[[], Awaitable[None]]) -> None:
        self._url = url
        self._sources = dict(scripts)
        self._digests = {name: hashlib.sha1(source, usedforsecurity=False).hexdigest() for name, source in scripts.items()}
        self._patience = patience
        self._on_ready = on_ready
        self._connection: Connection | None = None
        self._changed = Gate()
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether commands can be sent now."""
        return self._connection is not None

    def start(self) -> None:
        """Connect in the background."""
        self._task = asyncio.create_task(self._stay_connected(), name="valkey")

    async def stop(self) -> None:
        """Close the connection for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.drop()

    def drop(self) -> None:
        """Give up a connection that hangs; a new one is made at once."""
        if self._connection is not None:
            self._connection.abort()

    async def _stay_connected(self) -> None:
        delay = 0.02
        while True:
            try:
                connection = await asyncio.wait_for(connect(self._url), 10)
                for source in self._sources.values():
                    await connection.execute("SCRIPT", "LOAD", source)
            except (OSError, TimeoutError, ConnectionLost, ReplyError) as error:
                logger.warning("Valkey is not reachable: %s", error or type(error).__name__)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 0.5)
                continue
            except Exception:
                logger.exception("Cannot connect to Valkey")
                await asyncio.sleep(SLOW)
                continue
            delay = 0.02
            self._connection = connection
            self._signal()
            ready = asyncio.ensure_future(self._on_ready())
            await connection.closed.wait()
            self._connection = None
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)

    def _signal(self) -> None:
        gate, self._changed = self._changed, Gate()
        gate.open()

    async def script(self, name: str, keys: tuple[Argument, ...], *arguments: Argument) -> Any:
        """Run a script of the gateway; it may run twice. Raises `StoreUnavailable` when Valkey stays away."""
        return await self.command("EVALSHA", self._digests[name], len(keys), *keys, *arguments)

    async def command(self, *command: Argument) -> Any:
        """Run a command that may run twice, waiting through an outage. Raises `StoreUnavailable`, `ReplyError`."""
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        while True:
            connection = self._connection
            if connection is not None:
                try:
                    return await connection.execute(*command)
                except ConnectionLost:
                    pass
                except ReplyError as error:
                    await self._recover(connection, error)
            now = loop.time()
            deadline = now + self._patience if deadline is None else deadline
            if now >= deadline:
                raise StoreUnavailable
            if self._connection is None or (self._connection is connection and connection.closed.is_open):
                await self._changed.wait(deadline - now)

    async def _recover(self, connection: Connection, error: ReplyError) -> None:
        text = str(error)
        if text.startswith("NOSCRIPT"):
            for source in self._sources.values():
                connection.execute("SCRIPT", "LOAD", source).add_done_callback(_forget)
        elif text.startswith(PASSING):
            await asyncio.sleep(0.05)
        else:
            raise error


def _forget(waiter: asyncio.Future[Any]) -> None:
    if not waiter.cancelled():
        waiter.exception()


class Subscriber:
    """The messages' connection: subscribed for ever; `on_ready` runs after each (re)subscription, since messages may have been missed."""

    def __init__(
        self, url: str, channels: tuple[str, ...], *, on_message: Callable[[str, bytes], None], on_ready: Callable[[], None]
    ) -> None:
        self._url = url
        self._channels = channels
        self._on_message = on_message
        self._on_ready = on_ready
        self._connection: Connection | None = None
        self._subscribed = 0
        self._unanswered_pings = 0
        self._task: asyncio.Task[None] | None = None
        self.ready = Gate()

    def start(self) -> None:
        """Subscribe in the background."""
        self._task = asyncio.create_task(self._stay_subscribed(), name="valkey-subscriber")

    async def stop(self) -> None:
        """Close the connection for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._connection is not None:
            self._connection.abort()

    def check(self) -> None:
        """Drop a connection that left four pings unanswered, send the next one (call this twice a second)."""
        if self._connection is None:
            return
        if self._unanswered_pings >= 4:
            self._connection.abort()
            return
        self._unanswered_pings += 1
        self._connection.send("PING")

    def _receive(self, message: list[bytes]) -> None:
        if message[0] == b"message":
            self._on_message(message[1].decode(), message[2])
        elif message[0] == b"pong":
            self._unanswered_pings = 0
        else:
            self._subscribed += 1
            if self._subscribed == len(self._channels):
                self.ready.open()
                self._on_ready()

    async def _stay_subscribed(self) -> None:
        while True:
            try:
                connection = await asyncio.wait_for(connect(self._url, self._receive), 10)
            except (OSError, TimeoutError, ConnectionLost, ReplyError):
                await asyncio.sleep(0.1)
                continue
            except Exception:
                logger.exception("Cannot connect to Valkey's messages")
                await asyncio.sleep(SLOW)
                continue
            self._subscribed = self._unanswered_pings = 0
            self._connection = connection
            connection.send("SUBSCRIBE", *self._channels)
            await connection.closed.wait()
            self._connection = None
            await asyncio.sleep(0.02)
