"""One Valkey, one fake runtime and one gateway for the tests of a file that kill nothing; the others start their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.servers import Caller, GatewayServer, Keyring, RuntimeServer, ValkeyServer, running, write_route


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short path: the names of unix sockets are limited."""
    return tmp_path_factory.mktemp("g")


@pytest.fixture(scope="module")
def keys(folder: Path) -> Keyring:
    return Keyring(folder / "jwks.json")


@pytest.fixture(scope="module")
def valkey(folder: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(folder)
    with running(server):
        yield server


@pytest.fixture(scope="module")
def runtime(folder: Path) -> Iterator[RuntimeServer]:
    server = RuntimeServer(folder)
    with running(server):
        yield server


@pytest.fixture(scope="module")
def gateway(folder: Path, valkey: ValkeyServer, runtime: RuntimeServer, keys: Keyring) -> Iterator[GatewayServer]:
    server = GatewayServer(folder, valkey, keys)
    write_route(valkey, runtime)
    with running(server):
        yield server


@pytest.fixture
def caller(gateway: GatewayServer, keys: Keyring) -> Caller:
    """A caller who may run the deployments of the test project."""
    return Caller(gateway, keys.token())
