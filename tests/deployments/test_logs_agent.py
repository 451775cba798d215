"""Logs of a real agent outlive its replicas and its own death."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.providers.base import LogPositions, ProviderUnavailable
from tests.deployments.agent import Agent
from tests.deployments.provider_contract import until, until_gone, until_ready


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    made.start()
    yield made
    made.end(signal.SIGKILL)
    until(lambda: True if not made.processes() else None, what="everything to be gone")


def lines(agent: Agent, name: str) -> list[str]:
    return list(agent.provider.read_logs(name, "", limit=5000).lines)


def test_a_log_stays_through_the_deaths_of_runtime_and_agent_and_goes_when_it_was_read(agent: Agent) -> None:
    assert isinstance(agent.provider, LogPositions)
    spec = agent.spec(agent.store_bundle())
    until_ready(agent.provider, spec)
    os.kill(agent.runtime(), signal.SIGKILL)
    killed = until(lambda: [line for line in lines(agent, spec.name) if "SIGKILL" in line] or None, what="the note of the death")
    before = lines(agent, spec.name)

    agent.end(signal.SIGKILL)
    agent.start()
    until_ready(agent.provider, spec)

    assert lines(agent, spec.name)[: len(before)] == before
    assert json.loads(killed[0])["level"] == "ERROR"
    with pytest.raises(ProviderUnavailable, match="has not ended"):
        agent.provider.drop_logs(spec.name)
    until_gone(agent.provider, spec.name)
    cursor = agent.provider.read_logs(spec.name, "", limit=5000).cursor
    assert agent.provider.log_positions() == {spec.name: cursor}

    agent.provider.drop_logs(spec.name)

    assert (agent.provider.log_positions(), lines(agent, spec.name)) == ({}, [])
