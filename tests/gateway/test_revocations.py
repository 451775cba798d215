"""Tokens that are taken back before they expire: on every gateway, through the loss of Valkey."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from controlplane.accounts import revocations as written
from controlplane.accounts.revocations import revoke_endpoint_access
from gateway import revocations as read_here
from gateway.auth import Caller as TokenCaller
from gateway.auth import read_claims
from gateway.errors import PermissionDenied, StoreUnavailable
from gateway.revocations import KEPT_MS, KEY, VERSION_KEY, Revocations
from gateway.settings import Settings
from tests.gateway.servers import PROJECT, Caller, GatewayServer, Keyring, RuntimeServer, ValkeyServer, read, running, until, write_route
from tests.gateway.test_kills import Stack, stack

__all__ = ["stack"]

NOON_MS = 1_772_452_800_000
LIMIT = 5.0


def take_back(valkey: ValkeyServer, subject: str, *, at_ms: int | None = None) -> None:
    """Write a revocation as the control plane does."""
    valkey.client.eval(written.ADD, 2, KEY, VERSION_KEY, str(time.monotonic_ns()), str(at_ms or int(time.time() * 1000)), subject)


def is_refused(caller: Caller) -> bool:
    answer = caller.ask("GET", "/blur/workflow")
    assert answer.status in (200, 403), answer.body
    return answer.status == 403 and answer.json["code"] == "access_revoked"


class TestOverTheWire:
    """A gateway without a database."""

    @pytest.mark.parametrize(("subject", "claims"), [(f"u/1/p/{PROJECT}", {"sub": "1"}), ("u/2", {"sub": "2"}), ("t/9", {"tok": "9"})])
    def test_a_token_is_refused_within_five_seconds(
        self, gateway: GatewayServer, keys: Keyring, valkey: ValkeyServer, subject: str, claims: dict[str, Any]
    ) -> None:
        caller = Caller(gateway, keys.token(**claims))
        assert caller.run({}).status == 200
        take_back(valkey, subject)
        until(lambda: is_refused(caller), "the refusal", LIMIT)
        refused = caller.run({})
        assert (refused.status, refused.json["code"]) == (403, "access_revoked")
        assert "/v1/projects/jwt/" in refused.json["detail"]
        assert not is_refused(Caller(gateway, keys.token()))

    def test_a_refused_call_runs_nothing(self, gateway: GatewayServer, keys: Keyring, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
        caller = Caller(gateway, keys.token(sub="3"))
        take_back(valkey, "u/3")
        until(lambda: is_refused(caller), "the refusal", LIMIT)
        before = (len(runtime.executions()), valkey.client.dbsize())
        assert caller.run({}).status == 403
        assert (len(runtime.executions()), valkey.client.dbsize()) == before

    def test_a_token_that_was_made_later_holds(self, gateway: GatewayServer, keys: Keyring, valkey: ValkeyServer) -> None:
        moment_ms = int(time.time() * 1000)
        take_back(valkey, "u/4", at_ms=moment_ms)
        until(lambda: is_refused(Caller(gateway, keys.token(sub="4", iat=moment_ms / 1000))), "the refusal", LIMIT)
        assert not is_refused(Caller(gateway, keys.token(sub="4", iat=(moment_ms + 1) / 1000)))

    def test_results_that_somebody_waits_for_are_withheld_when_access_ends_meanwhile(
        self, gateway: GatewayServer, keys: Keyring, valkey: ValkeyServer, runtime: RuntimeServer
    ) -> None:
        caller = Caller(gateway, keys.token(sub="5"))
        run_id = caller.run({"hold": "revoked"}).json["uuid"]
        with caller.open("GET", f"/blur/api/results/{run_id}?long=true") as waiting:
            take_back(valkey, "u/5")
            until(lambda: is_refused(caller), "the refusal", LIMIT)
            runtime.release("revoked")
            refused = read(waiting)
        assert (refused.status, refused.json["code"]) == (403, "access_revoked")
        assert Caller(gateway, keys.token()).results(run_id).status == 200

    @pytest.mark.django_db
    def test_a_removal_by_the_control_plane_reaches_the_gateway(
        self,
        gateway: GatewayServer,
        keys: Keyring,
        valkey: ValkeyServer,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        monkeypatch.setattr(written, "valkey", lambda: valkey.client)
        member = UUID("0190a000-0000-7000-8000-0000000000f1")
        caller = Caller(gateway, keys.token(sub=str(member)))
        assert not is_refused(caller)
        with django_capture_on_commit_callbacks(execute=True):
            revoke_endpoint_access(user_id=member, project_ids=[UUID(PROJECT)])
        until(lambda: is_refused(caller), "the refusal", LIMIT)


class TestLosses:
    """Two gateways, and a Valkey that dies and forgets."""

    def test_every_gateway_refuses_and_goes_on_refusing_when_valkey_forgot(self, stack: Stack) -> None:
        callers = [stack.caller(gateway) for gateway in (stack.first, stack.second)]
        take_back(stack.valkey, "u/u1")
        for caller in callers:
            until(lambda caller=caller: is_refused(caller), "the refusal", LIMIT)
        stack.valkey.lose_everything()
        write_route(stack.valkey, stack.runtime)
        until(lambda: Caller(stack.first).ask("GET", "/healthz").status == 200, "the gateway to be connected again")
        assert not stack.valkey.client.exists(KEY)
        assert all(is_refused(caller) for caller in callers)

    def test_what_was_revoked_while_valkey_was_away_is_known_once_it_is_back(self, stack: Stack) -> None:
        caller = stack.caller(stack.first)
        assert not is_refused(caller)
        stack.valkey.lose_everything()
        take_back(stack.valkey, "u/u1")
        write_route(stack.valkey, stack.runtime)
        until(lambda: is_refused(caller), "the refusal", LIMIT)

    def test_a_gateway_refuses_while_valkey_is_away(self, stack: Stack) -> None:
        caller = stack.caller(stack.first)
        take_back(stack.valkey, "u/u1")
        until(lambda: is_refused(caller), "the refusal", LIMIT)
        stack.valkey.kill()
        assert caller.run({}).json["code"] == "access_revoked"

    def test_a_gateway_that_starts_later_knows_them_from_its_first_call_on(self, stack: Stack, tmp_path: Path) -> None:
        third = GatewayServer(tmp_path, stack.valkey, stack.keys, "third")
        before = Caller(third, stack.keys.token())
        take_back(stack.valkey, "u/u1")
        with running(third):
            assert is_refused(before)


class FakeValkey:
    """Answers GET and ZRANGE from a dictionary; `connected` is what the loop looks at."""

    connected = True

    def __init__(self) -> None:
        self.version: bytes | None = None
        self.scores: dict[str, int] = {}
        self.commands: list[str] = []

    def write(self, version: str, **scores: int) -> None:
        self.version = version.encode()
        self.scores.update(scores)

    async def command(self, *command: object) -> Any:
        self.commands.append(str(command[0]))
        if command[0] == "GET":
            return self.version
        oldest = int(str(command[2]))
        return [word for name, score in self.scores.items() if score >= oldest for word in (name.encode(), b"%d" % score)]


def made(valkey: FakeValkey, clock: list[int], **settings: float) -> Revocations:
    return Revocations(Settings("redis://", **settings), valkey, clock=lambda: clock[0])  # type: ignore[arg-type]


def token(*subjects: str, issued_ms: int = NOON_MS) -> TokenCaller:
    return TokenCaller("u", "p", frozenset(), 0.0, issued_ms, subjects)


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(PermissionDenied, match="taken away"):
        yield


class TestTheCopy:
    """What a gateway keeps of the list, with the clock in hand."""

    def test_the_list_is_read_again_only_when_it_is_another(self) -> None:
        valkey = FakeValkey()
        kept = made(valkey, [NOON_MS])

        async def look() -> None:
            for _ in range(3):
                await kept.read()
            valkey.write("1", a=NOON_MS)
            await kept.read()
            await kept.read()

        asyncio.run(look())
        assert valkey.commands == ["GET", "ZRANGE", "GET", "GET", "GET", "ZRANGE", "GET"]

    def test_the_later_moment_counts_and_none_is_forgotten(self) -> None:
        valkey = FakeValkey()
        kept = made(valkey, [NOON_MS])

        async def look() -> None:
            valkey.write("1", a=NOON_MS, b=NOON_MS - 5)
            await kept.read()
            valkey.scores = {"a": NOON_MS - 9}
            valkey.version = None
            await kept.read()
            with refused():
                await kept.check(token("x", "a"))
            with refused():
                await kept.check(token("b", issued_ms=NOON_MS - 5))
            await kept.check(token("b", issued_ms=NOON_MS - 4))
            await kept.check(token("x", "y", "z"))

        asyncio.run(look())

    def test_what_no_living_token_can_be_about_is_dropped(self) -> None:
        valkey, clock = FakeValkey(), [NOON_MS]
        kept = made(valkey, clock)

        async def look() -> None:
            valkey.write("1", a=NOON_MS)
            await kept.read()
            clock[0] += KEPT_MS + 1
            valkey.write("2", b=clock[0])
            await kept.read()

        asyncio.run(look())
        assert kept._moments == {"b": clock[0]}

    def test_calls_wait_for_the_first_reading_and_no_longer_than_for_the_store(self) -> None:
        valkey = FakeValkey()
        valkey.write("1", a=NOON_MS)

        async def look() -> None:
            kept = made(valkey, [NOON_MS], store_wait=10)
            waiting = asyncio.ensure_future(kept.check(token("a")))
            await asyncio.sleep(0)
            assert not waiting.done()
            await kept.read()
            with refused():
                await waiting
            with pytest.raises(StoreUnavailable):
                await made(valkey, [NOON_MS], store_wait=0).check(token("a"))

        asyncio.run(look())

    def test_a_reading_that_fails_is_tried_again(self) -> None:
        valkey = FakeValkey()
        failures = [StoreUnavailable(), TimeoutError(), RuntimeError("?")]
        answer = valkey.command

        async def fail(*command: object) -> Any:
            if failures:
                raise failures.pop()
            return await answer(*command)

        valkey.command = fail  # type: ignore[method-assign]

        async def look() -> None:
            kept = made(valkey, [NOON_MS], sweep_interval=0.001)
            kept.start()
            await kept.check(token("a"))
            await kept.stop()

        asyncio.run(look())
        assert not failures

    def test_it_is_kept_as_long_as_the_control_plane_keeps_it(self) -> None:
        assert written.KEPT.total_seconds() * 1000 == KEPT_MS
        assert (written.KEY, written.VERSION_KEY) == (read_here.KEY, read_here.VERSION_KEY)

    def test_a_token_without_a_mark_of_an_api_token_has_two_names(self) -> None:
        claims = {"sub": "1", "project": "2", "scope": "consume", "exp": 9, "iat": NOON_MS / 1000 + 0.123}
        caller = read_claims(claims)
        assert (caller.subjects, caller.issued_ms) == (("u/1/p/2", "u/1"), NOON_MS + 123)
        assert read_claims({**claims, "tok": "3"}).subjects == ("u/1/p/2", "u/1", "t/3")
