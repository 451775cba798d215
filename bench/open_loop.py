"""Calls that begin at a fixed rate whether or not former ones have ended, as those of many callers do. Each is PUT, then long GETs to its end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Call:
    """One call: when it was due (monotonic seconds), how long it took from then on, and why it failed ("" = it has its results)."""

    due: float
    seconds: float
    failure: str


@dataclass
class OpenLoop:
    """Calls an endpoint `rate` times a second with one body."""

    endpoint: str
    token: str
    body: bytes
    rate: float
    calls: list[Call] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Call from a thread of its own; in the end wait for what is on its way."""
        thread = threading.Thread(target=lambda: asyncio.run(self._call_at_rate()))
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()

    def between(self, begin: float, end: float) -> list[Call]:
        """Return the calls that were due in this time."""
        return [call for call in self.calls if begin <= call.due < end]

    async def _call_at_rate(self) -> None:
        begin, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as calls:
            while not self.over.is_set():
                due = begin + number / self.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                calls.create_task(self._call(due))
                number += 1

    async def _call(self, due: float) -> None:
        failure = ""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._run()
        except (OSError, EOFError, TimeoutError, RuntimeError, ValueError, asyncio.LimitOverrunError) as error:
            failure = repr(error)
        self.calls.append(Call(due, time.monotonic() - due, failure))

    async def _run(self) -> None:
        parts = urlsplit(self.endpoint)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            answer = await self._ask(reader, writer, f"PUT {parts.path}/api/run", self.body, {200})
            status, address = 202, f"GET {parts.path}/api/results/{answer.decode().strip(chr(34))}"
            while status == 202:
                writer.write(self._head(f"{address}?long=true", 0))
                status, answer = await read_answer(reader)
            if status != 200:
                raise RuntimeError(f"{status} {answer[:300]!r}")
        finally:
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str, body: bytes, wanted: set[int]) -> bytes:
        writer.write(self._head(what, len(body)) + body)
        status, answer = await read_answer(reader)
        if status not in wanted:
            raise RuntimeError(f"{status} {answer[:300]!r}")
        return answer

    def _head(self, what: str, size: int) -> bytes:
        host = urlsplit(self.endpoint).netloc
        lines = [f"{what} HTTP/1.1", f"host: {host}", f"authorization: Bearer {self.token}"]
        if size:
            lines += ["content-type: application/json", f"content-length: {size}"]
        return "\r\n".join([*lines, "", ""]).encode()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return status and body. Raises `EOFError` (IncompleteReadError) when the connection ends before."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    at = head.index(b"content-length: ") + 16
    return status, await reader.readexactly(int(head[at : head.index(b"\r", at)]))
