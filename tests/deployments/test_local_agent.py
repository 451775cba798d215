"""The local driver: a real agent with the real runtime, ended in every way."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.providers.base import Phase, Provider, ProviderUnavailable, ReplicaSpec, ReplicaState
from deployments.providers.local.client import LocalProvider
from deployments.providers.local.host import run_folder
from deployments.providers.unix import UnixConnection
from tests.deployments.agent import Agent
from tests.deployments.provider_contract import ProviderContract, until, until_gone, until_ready
from tests.fakes.provider import FakeProvider


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    made.start()
    yield made
    made.end(signal.SIGKILL)
    until(lambda: True if not made.processes() else None, what="everything to be gone")


def health(state: ReplicaState) -> dict[str, object]:
    connection = UnixConnection(state.address.removeprefix("unix:"), timeout=10)
    try:
        connection.request("GET", "/health")
        answer: dict[str, object] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def messages(agent: Agent, name: str = "d1-g1") -> list[str]:
    return [json.loads(line)["message"] for line in agent.provider.read_logs(name, "", limit=1000).lines]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent that several tests share."""
    made = Agent(tmp_path_factory.mktemp("agent"))
    made.start()
    yield made
    made.end()


@pytest.fixture
def fresh(running: Agent) -> Iterator[Agent]:
    """The shared agent, without replicas before and after."""
    yield running
    for name in [state.name for state in running.provider.list_replicas()]:
        until_gone(running.provider, name)


class TestLocalProvider(ProviderContract):
    """The agent keeps the contract, with one replica after the other on one agent."""

    @pytest.fixture
    def provider(self, fresh: Agent) -> Provider:
        return fresh.provider

    @pytest.fixture
    def spec(self, fresh: Agent) -> ReplicaSpec:
        return fresh.spec(fresh.store_bundle())


class TestFakeProvider(ProviderContract):
    """The fake that the reconciler's tests rest on keeps the contract too."""

    @pytest.fixture
    def provider(self) -> Provider:
        return FakeProvider(printed={"d1-g1": ["one", "two"]})

    @pytest.fixture
    def spec(self) -> ReplicaSpec:
        return ReplicaSpec(name="d1-g1", bundle="0" * 64, vcpu=2, ram_mb=4096, deployment="d1", generation=1, region="FRANCE")


def test_a_runtime_that_is_killed_is_started_again_at_the_same_address(agent: Agent) -> None:
    spec = agent.spec(agent.store_bundle())
    before = until_ready(agent.provider, spec)
    killed = agent.runtime()

    os.kill(killed, signal.SIGKILL)

    after = until(
        lambda: found if (found := agent.provider.ensure_replica(spec)).restarts and found.phase is Phase.READY else None, what="a restart"
    )
    assert (after.address, after.restarts) == (before.address, 1)
    assert agent.runtime() != killed
    assert health(after)["status"] == "ready"
    assert any("killed by SIGKILL" in message or "ended with code" in message for message in messages(agent))


def test_nothing_is_left_of_an_agent_that_is_killed_and_the_next_one_brings_all_back(agent: Agent) -> None:
    spec = agent.spec(agent.store_bundle())
    before = until_ready(agent.provider, spec)

    agent.end(signal.SIGKILL)
    until(lambda: True if not agent.processes() else None, what="everything to be gone")
    agent.start()

    after = until_ready(agent.provider, spec)
    assert after.address == before.address
    assert health(after)["status"] == "ready"


def test_an_agent_that_is_stopped_drains_and_forgets_nothing(agent: Agent) -> None:
    spec = agent.spec(agent.store_bundle())
    until_ready(agent.provider, spec)

    agent.end(signal.SIGTERM)
    assert agent.processes() == []
    agent.start()

    assert agent.names() == [spec.name]
    until_ready(agent.provider, spec)


def test_a_deleted_replica_does_not_come_back_but_its_log_stays(agent: Agent) -> None:
    spec = agent.spec(agent.store_bundle())
    until_ready(agent.provider, spec)
    until_gone(agent.provider, spec.name)

    agent.end()
    agent.start()

    assert agent.names() == []
    assert messages(agent)
    assert not list(run_folder(agent.data / "agent").iterdir())


def test_a_workflow_that_cannot_be_loaded_fails_with_the_reason(fresh: Agent) -> None:
    spec = fresh.spec(fresh.store_bundle(task="no_such_algorithm"))
    fresh.provider.ensure_replica(spec)

    failed = until(
        lambda: found if (found := fresh.provider.get_replica(spec.name)) and found.phase is Phase.FAILED else None, what="the failure"
    )

    assert "no_such_algorithm" in failed.detail


def test_a_bundle_that_nobody_has_fails_or_waits_but_never_runs(fresh: Agent) -> None:
    spec = fresh.spec("f" * 64)

    fresh.provider.ensure_replica(spec)
    state = until(lambda: found if (found := fresh.provider.get_replica(spec.name)) and found.detail else None, what="the reason")

    assert state.phase in {Phase.FAILED, Phase.STARTING}
    until_gone(fresh.provider, spec.name)


def test_sockets_and_folders_are_private(fresh: Agent) -> None:
    state = until_ready(fresh.provider, fresh.spec(fresh.store_bundle()))
    socket_path = Path(state.address.removeprefix("unix:"))

    assert stat.S_IMODE((fresh.data / "agent" / "agent.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((fresh.data / "agent" / "replicas").stat().st_mode) == 0o700
    assert stat.S_IMODE((fresh.data / "agent" / "logs").stat().st_mode) == 0o700


def test_the_runtime_gets_nothing_of_the_agents_environment(fresh: Agent) -> None:
    until_ready(fresh.provider, fresh.spec(fresh.store_bundle()))

    names = {line.split(b"=")[0].decode() for line in Path(f"/proc/{fresh.runtime()}/environ").read_bytes().split(b"\0") if line}

    assert not {name for name in names if "SECRET" in name or "KEY" in name or "URL" in name}
    assert {"HOME", "PYTHONPATH"} <= names


def test_an_offer_is_limited_to_the_cores_of_the_machine(fresh: Agent) -> None:
    cores = len(os.sched_getaffinity(0))
    bundle = fresh.store_bundle()

    large = until_ready(fresh.provider, fresh.spec(bundle, name="d1-g1", vcpu=10_000))
    small = until_ready(fresh.provider, fresh.spec(bundle, name="d2-g1", vcpu=1))

    assert (large.workers, small.workers) == (cores, 1)


def test_a_second_agent_on_one_folder_refuses_to_start(fresh: Agent) -> None:
    second = Agent(fresh.data)

    assert "Another agent listens" in second.start_and_fail()
    assert fresh.names() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("PUT", "/replicas/d1-g1", "{", 400),
        ("PUT", "/replicas/d1-g1", json.dumps({"name": "d1-g1"}), 400),
        ("PUT", "/replicas/..%2Fx", "{}", 404),
        ("POST", "/replicas/d1-g1", "{}", 405),
        ("GET", "/health", None, 200),
    ],
)
def test_the_agents_api_answers_what_it_cannot_do(fresh: Agent, method: str, path: str, body: str | None, status: int) -> None:
    connection = UnixConnection(str(fresh.data / "agent" / "agent.sock"), timeout=10)
    try:
        connection.request(method, path, body=body)
        assert connection.getresponse().status == status
    finally:
        connection.close()


def test_the_driver_tells_when_the_agent_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProviderUnavailable, match="does not answer"):
        LocalProvider(str(tmp_path / "agent.sock")).list_replicas()


def test_the_relay_leads_to_the_public_address_and_nowhere_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        agent = Agent(tmp_path)
        agent.start(PUBLIC_URL=f"http://127.0.0.1:{listener.getsockname()[1]}")
        try:
            state = until_ready(agent.provider, agent.spec(agent.store_bundle()))
            relay = UnixConnection(str(Path(state.address.removeprefix("unix:")).with_name("storage.sock")), timeout=10)
            relay.request("GET", "/v1/objects/x", headers={"Host": "elsewhere.example.com"})
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(65536).startswith(b"GET /v1/objects/x")
                accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            answer: http.client.HTTPResponse = relay.getresponse()
            assert answer.read() == b"ok"
            relay.close()
        finally:
            agent.end()


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_bubblewrap_leaves_the_runtime_no_network(fresh: Agent) -> None:
    state = until_ready(fresh.provider, fresh.spec(fresh.store_bundle()))

    assert state.isolation["sandbox"] == "bubblewrap"
    interfaces = Path(f"/proc/{fresh.runtime()}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
