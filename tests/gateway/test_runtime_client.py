"""The gateway's own HTTP client to the runtimes, against servers that answer well, badly and not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.runtime_client import Pool, ReplyTooLarge, RuntimeGone

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def served(folder: Path, answer: Answer) -> AsyncIterator[Pool]:
    """A pool to a server that handles each connection with `answer`."""
    path = folder / "s"
    handlers: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())  # type: ignore[arg-type]
        try:
            await answer(reader, writer)
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    server = await asyncio.start_unix_server(handle, str(path))
    pool = Pool(f"unix:{path}", max_reply=1000)
    try:
        yield pool
    finally:
        pool.close()
        server.close()
        await asyncio.gather(*handlers, return_exceptions=True)


def speaking(*pieces: bytes, times: int = 1, close: bool = True) -> Answer:
    """Read a request, write the pieces one by one, `times` times."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in range(times):
                await reader.readuntil(b"\r\n\r\n")
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            if not close:
                await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    return answer


def test_the_start_is_told_before_the_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        go = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n \r\n")
            await go.wait()
            writer.write(b"4\r\ntrue\r\n0\r\n\r\n")
            await reader.read()

        async with served(tmp_path, answer) as pool:
            exchange = await pool.send("PUT", "/runs/1", b"{}")
            assert await exchange.started == 200
            assert not exchange.ended.done()
            assert pool.outstanding == 1
            go.set()
            assert (await exchange.ended).body == b" true"
            assert pool.outstanding == 0

    asyncio.run(scenario())


def test_a_connection_serves_many_requests(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, speaking(OK, times=3, close=False)) as pool:
            assert [(await pool.fetch("GET", "/")).body for _ in range(3)] == [b"ok"] * 3
            assert len(pool._idle) == 1

    asyncio.run(scenario())


def test_a_kept_connection_that_died_is_replaced(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, speaking(OK)) as pool:
            assert [(await pool.fetch("GET", "/")).status for _ in range(3)] == [200] * 3

    asyncio.run(scenario())


@pytest.mark.parametrize("pieces", [(b"",), (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",), (b"not http at all\r\n\r\n",)])
def test_an_answer_that_breaks_off_is_a_runtime_that_is_gone(tmp_path: Path, pieces: tuple[bytes, ...]) -> None:
    async def scenario() -> None:
        async with served(tmp_path, speaking(*pieces)) as pool:
            with pytest.raises(RuntimeGone):
                await pool.fetch("GET", "/")
            assert pool.outstanding == 0

    asyncio.run(scenario())


def test_nobody_listening_is_a_runtime_that_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(RuntimeGone):
            await Pool(f"unix:{tmp_path}/none", max_reply=10).fetch("GET", "/")

    asyncio.run(scenario())


def test_an_answer_over_the_limit_is_not_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, speaking(b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n", b"x" * 2000)) as pool:
            with pytest.raises(ReplyTooLarge):
                await pool.fetch("GET", "/")

    asyncio.run(scenario())


def test_a_refusal_tells_when_to_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        refusal = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\ncontent-length: 2\r\n\r\n{}"
        async with served(tmp_path, speaking(refusal, close=False)) as pool:
            reply = await pool.fetch("GET", "/")
            assert (reply.status, reply.retry_after) == (503, 7)

    asyncio.run(scenario())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(body=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_an_answer_is_the_same_however_it_is_cut(tmp_path: Path, body: bytes, cuts: list[int]) -> None:
    whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(
        b"1\r\n%b\r\n" % body[at : at + 1] for at in range(len(body))
    )
    whole += b"0\r\n\r\n"
    edges = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(edges) if start < end]

    async def scenario() -> None:
        async with served(tmp_path, speaking(*pieces, close=False)) as pool:
            assert (await pool.fetch("GET", "/")).body == body

    asyncio.run(scenario())
