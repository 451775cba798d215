"""A load generator that costs less than what it measures: one process, raw sockets on uvloop, answers cut apart by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# What to send next, given the body of the answer before (None at the start); the flag tells that an operation is complete.
Script = Callable[[bytes | None], tuple[bytes, bool]]


@dataclass
class Load:
    """Operations per second and the latency of each in seconds."""

    seconds: float
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Return operations per second."""
        return len(self.latencies) / self.seconds

    def median_ms(self) -> float:
        """Return the median latency in ms."""
        return sorted(self.latencies)[len(self.latencies) // 2] * 1000


class _Connection(asyncio.Protocol):
    def __init__(self, script: Script, load: Load, end: float) -> None:
        self.script = script
        self.load = load
        self.end = end
        self.buffer = bytearray()
        self.begin = 0.0
        self.need = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.begin = time.perf_counter()
        self.transport.write(self.script(None)[0])

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) < self.need:
            return
        body = self._cut()
        if body is None:
            return
        request, complete = self.script(body)
        if complete:
            now = time.perf_counter()
            self.load.latencies.append(now - self.begin)
            self.begin = now
            if now >= self.end:
                self.transport.close()
                return
        self.transport.write(request)

    def _cut(self) -> bytes | None:
        buffer = self.buffer
        head_end = buffer.find(b"\r\n\r\n") + 4
        if head_end < 4:
            return None
        head = bytes(buffer[:head_end]).lower()
        if not head.startswith(b"http/1.1 2"):
            raise RuntimeError(bytes(buffer[:600]).decode(errors="replace"))
        at = head.find(b"content-length: ")
        if at < 0:
            return self._cut_chunked(head_end)
        size = int(head[at + 16 : head.index(b"\r", at)])
        self.need = head_end + size
        if len(buffer) < self.need:
            return None
        return self._take(head_end, head_end + size)

    def _cut_chunked(self, head_end: int) -> bytes | None:
        if not self.buffer.endswith(b"\r\n0\r\n\r\n"):
            return None
        return self._take(head_end, len(self.buffer))

    def _take(self, start: int, end: int) -> bytes:
        body = bytes(self.buffer[start:end])
        self.buffer.clear()
        self.need = 0
        return body

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


async def measure(script: Callable[[], Script], *, connections: int, seconds: float, port: int = 0, path: str = "") -> Load:
    """Run a script over and over on each connection, to a TCP port of this machine or to a unix socket."""
    loop = asyncio.get_running_loop()
    load = Load(seconds)
    begin = time.perf_counter()
    made = []
    for _ in range(connections):
        if path:
            _, one = await loop.create_unix_connection(lambda: _Connection(script(), load, begin + seconds), path)
        else:
            _, one = await loop.create_connection(lambda: _Connection(script(), load, begin + seconds), "127.0.0.1", port)
        made.append(one)
    await asyncio.wait_for(asyncio.gather(*(one.over for one in made)), seconds + 30)
    load.seconds = time.perf_counter() - begin
    return load
