"""The gateway's own Valkey client, against a real server over TCP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.gate import Gate
from gateway.valkey import ReplyError, Subscriber, Valkey
from tests.gateway.servers import PASSWORD, Process, ValkeyServer, running

ECHO = {"echo": b"return {ARGV[1], KEYS[1]}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    folder: Path = tmp_path_factory.mktemp("v")
    made = ValkeyServer(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made.command[made.command.index("--port") + 1] = str(port)
    made.command += ["--bind", "127.0.0.1"]
    made.url = f"redis://:{PASSWORD}@127.0.0.1:{port}/3"
    with running(made):
        yield made


@asynccontextmanager
async def connected(server: ValkeyServer, patience: float = 5.0) -> AsyncIterator[tuple[Valkey, list[int]]]:
    """A client, and the number of times it was connected."""
    connections: list[int] = []
    ready = Gate()

    async def on_ready() -> None:
        connections.append(1)
        ready.open()

    client = Valkey(server.url, ECHO, patience=patience, on_ready=on_ready)
    client.start()
    await ready.wait()
    try:
        yield client, connections
    finally:
        await client.stop()


def in_loop(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


def test_answers_come_to_those_who_asked(server: ValkeyServer) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, _):
            answers = await asyncio.gather(*(client.command("ECHO", f"{number}") for number in range(500)))
            assert answers == [b"%d" % number for number in range(500)]

    in_loop(scenario)


def test_the_database_of_the_address_is_used(server: ValkeyServer) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, _):
            await client.command("SET", "here", b"\x00\xff")
            assert await client.command("GET", "here") == b"\x00\xff"

    in_loop(scenario)
    assert server.client.get("here") is None, "the server's other client looks at database 0"


def test_a_refused_command_is_an_error_and_the_next_one_works(server: ValkeyServer) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, _):
            with pytest.raises(ReplyError, match="unknown command"):
                await client.command("NONSENSE")
            assert await client.command("PING") == b"PONG"

    in_loop(scenario)


def test_scripts_are_loaded_again_when_the_server_forgot_them(server: ValkeyServer) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, _):
            await client.command("SCRIPT", "FLUSH")
            assert await client.script("echo", ("k",), 7) == [b"7", b"k"]

    in_loop(scenario)


def test_what_was_asked_during_an_outage_is_answered_after_it(server: ValkeyServer) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, connections):
            server.kill()
            asked = [asyncio.create_task(client.script("echo", ("k",), number)) for number in range(20)]
            await asyncio.to_thread(server.start)
            assert [answer[0] for answer in await asyncio.gather(*asked)] == [b"%d" % number for number in range(20)]
            assert len(connections) == 2

    in_loop(scenario)


def test_an_outage_beyond_the_patience_is_an_error(server: ValkeyServer) -> None:
    async def scenario() -> None:
        async with connected(server, patience=0.1) as (client, _):
            server.kill()
            with pytest.raises(StoreUnavailable):
                await client.command("PING")
        await asyncio.to_thread(server.start)

    in_loop(scenario)


def test_a_waiting_command_that_was_given_up_does_not_shift_the_answers(server: ValkeyServer) -> None:
    async def scenario() -> None:
        async with connected(server) as (client, _):
            given_up = asyncio.create_task(client.command("ECHO", "a"))
            kept = asyncio.create_task(client.command("ECHO", "b"))
            await asyncio.sleep(0)
            given_up.cancel()
            assert await kept == b"b"

    in_loop(scenario)


def test_a_subscriber_subscribes_again(server: ValkeyServer) -> None:
    async def scenario() -> None:
        received: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        ready: asyncio.Queue[None] = asyncio.Queue()
        subscriber = Subscriber(
            server.url, ("a", "b"), on_message=lambda *message: received.put_nowait(message), on_ready=lambda: ready.put_nowait(None)
        )
        subscriber.start()
        for life in (b"first", b"second"):
            await ready.get()
            server.client.publish("b", life)
            assert await received.get() == ("b", life)
            subscriber.check()
            if life == b"first":
                await asyncio.to_thread(restart, server)
        await subscriber.stop()

    in_loop(scenario)


def restart(server: Process) -> None:
    server.kill()
    server.start()
