"""Who may call an endpoint."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from gateway.auth import CACHED, Tokens
from gateway.database import Database
from gateway.errors import NotAuthenticated
from gateway.keys import Keys
from tests.gateway.servers import ISSUER, Caller, GatewayServer, Keyring, ValkeyServer


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"exp": 1}, 401, "token_expired"),
        ({"exp": None}, 401, "token_invalid"),
        ({"iss": "http://elsewhere"}, 401, "token_invalid"),
        ({"kid": "first", "key": generate_private_key(SECP256R1())}, 401, "token_invalid"),
        ({"project": "another"}, 403, "wrong_project"),
        ({"scope": "storage"}, 403, "wrong_scope"),
    ],
)
def test_a_token_that_does_not_fit_is_refused_and_nothing_runs(
    gateway: GatewayServer, keys: Keyring, valkey: ValkeyServer, changes: dict[str, object], status: int, code: str
) -> None:
    before = valkey.client.dbsize()
    refused = Caller(gateway, keys.token(**changes)).run({})  # type: ignore[arg-type]
    assert (refused.status, refused.json["code"]) == (status, code)
    assert "/v1/projects/jwt/" in refused.json["detail"]
    assert valkey.client.dbsize() == before


@pytest.mark.parametrize("header", ["", "Bearer", "Token abc", "Bearer abc", "Bearer a.b.c", "Bearer eyJhbGciOiJub25lIn0.e30."])
def test_anything_but_a_token_is_401(gateway: GatewayServer, header: str) -> None:
    refused = Caller(gateway).ask("GET", "/blur/workflow", authorization=header)
    assert refused.status == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_results_need_the_token_of_the_project_too(caller: Caller, gateway: GatewayServer, keys: Keyring) -> None:
    run_id = caller.run({}).json["uuid"]
    assert Caller(gateway, keys.token(project="another")).results(run_id).status == 403


class TestKeyRotation:
    """The gateway's own cache, with the keys in a file and the clock in hand."""

    @pytest.fixture
    def ring(self, tmp_path: Path) -> Keyring:
        return Keyring(tmp_path / "jwks.json")

    def tokens(self, ring: Keyring) -> tuple[Tokens, Keys, list[float]]:
        keys = Keys(Database(enabled=False), str(ring.path))
        now = [1_000_000.0]
        return Tokens(keys, ISSUER, clock=lambda: now[0]), keys, now

    def test_a_cached_token_ends_when_it_expires(self, ring: Keyring) -> None:
        tokens, _, now = self.tokens(ring)
        header = b"Bearer " + ring.token(exp=1_000_010).encode()
        assert asyncio.run(tokens.check(header))[0].subject == "u1"
        now[0] = 1_000_010.0
        with pytest.raises(NotAuthenticated, match="expired"):
            asyncio.run(tokens.check(header))

    def test_a_token_of_a_new_key_makes_the_keys_load_again(self, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
        tokens, _, _ = self.tokens(ring)
        assert asyncio.run(tokens.check(b"Bearer " + ring.token().encode()))
        ring.rotate("second")
        monkeypatch.setattr("gateway.keys.RELOAD_AT_MOST_EVERY", 0.0)
        assert asyncio.run(tokens.check(b"Bearer " + ring.token(kid="second").encode()))

    def test_unknown_keys_load_at_most_once_a_second(self, ring: Keyring) -> None:
        tokens, _, _ = self.tokens(ring)
        assert asyncio.run(tokens.check(b"Bearer " + ring.token().encode()))
        ring.rotate("second")
        with pytest.raises(NotAuthenticated):
            asyncio.run(tokens.check(b"Bearer " + ring.token(kid="second").encode()))

    def test_a_withdrawn_key_ends_its_cached_tokens(self, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
        tokens, keys, _ = self.tokens(ring)
        header = b"Bearer " + ring.token().encode()
        assert asyncio.run(tokens.check(header))
        ring.rotate("second", withdraw="first")
        monkeypatch.setattr("gateway.keys.RELOAD_AT_LEAST_EVERY", 0.0)
        asyncio.run(keys.refresh())
        with pytest.raises(NotAuthenticated):
            asyncio.run(tokens.check(header))

    def test_keys_stay_valid_while_their_source_is_away(self, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
        tokens, keys, _ = self.tokens(ring)
        assert asyncio.run(tokens.check(b"Bearer " + ring.token().encode()))
        ring.path.unlink()
        monkeypatch.setattr("gateway.keys.RELOAD_AT_LEAST_EVERY", 0.0)
        asyncio.run(keys.refresh())
        assert asyncio.run(tokens.check(b"Bearer " + ring.token(sub="u2").encode()))[0].subject == "u2"

    def test_the_cache_is_bounded(self, ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gateway.auth.CACHED", 3)
        tokens, _, _ = self.tokens(ring)

        async def check_many() -> None:
            for number in range(10):
                await tokens.check(b"Bearer " + ring.token(sub=str(number)).encode())

        asyncio.run(check_many())
        assert len(tokens._checked) == 3 < CACHED
