"""What every provider must do. A provider's tests subclass this with `provider` and `spec` fixtures."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from deployments.providers.base import LogReader, Phase, Provider, ReplicaSpec, ReplicaState, SpecConflict, StillWorking

DEADLINE_SECONDS = 60.0
T = TypeVar("T")


def until(look: Callable[[], T | None], *, what: str) -> T:
    """Look again and again until there is an answer."""
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {DEADLINE_SECONDS} s for {what}")


def until_ready(provider: Provider, spec: ReplicaSpec) -> ReplicaState:
    """Ensure until the replica is ready."""

    def look() -> ReplicaState | None:
        state = provider.ensure_replica(spec)
        assert state.phase is not Phase.FAILED, state.detail
        return state if state.phase is Phase.READY else None

    return until(look, what=f"{spec.name} to be ready")


def until_gone(provider: Provider, name: str) -> None:
    """Delete until the provider confirms."""

    def look() -> bool | None:
        try:
            provider.delete_replica(name)
        except StillWorking:
            return None
        return True

    until(look, what=f"{name} to be gone")


class ProviderContract:
    """The contract."""

    def test_a_replica_becomes_ready_with_an_address(self, provider: Provider, spec: ReplicaSpec) -> None:
        first = provider.ensure_replica(spec)
        state = until_ready(provider, spec)

        assert first.name == state.name == spec.name
        assert state.address
        assert state.workers >= 1
        assert state.isolation

    def test_ensuring_again_makes_no_second_replica(self, provider: Provider, spec: ReplicaSpec) -> None:
        state = until_ready(provider, spec)

        assert provider.ensure_replica(spec) == state
        assert provider.get_replica(spec.name) == state
        assert [state.name for state in provider.list_replicas()].count(spec.name) == 1

    def test_a_name_that_is_taken_by_another_specification_is_a_conflict(self, provider: Provider, spec: ReplicaSpec) -> None:
        until_ready(provider, spec)

        with pytest.raises(SpecConflict):
            provider.ensure_replica(replace(spec, ram_mb=spec.ram_mb + 1))

    def test_a_deletion_returns_only_when_the_replica_is_gone(self, provider: Provider, spec: ReplicaSpec) -> None:
        until_ready(provider, spec)

        with pytest.raises(StillWorking):
            provider.delete_replica(spec.name)
        until_gone(provider, spec.name)

        assert provider.get_replica(spec.name) is None
        assert spec.name not in [state.name for state in provider.list_replicas()]
        provider.delete_replica(spec.name)

    def test_what_was_never_there_has_no_state_and_is_gone(self, provider: Provider) -> None:
        assert provider.get_replica("dnothing-g1") is None
        provider.delete_replica("dnothing-g1")

    def test_logs_go_on_from_a_cursor(self, provider: Provider, spec: ReplicaSpec) -> None:
        until_ready(provider, spec)
        if not isinstance(provider, LogReader):
            pytest.skip("this provider has no logs")

        first = provider.read_logs(spec.name, "", limit=1)
        rest = provider.read_logs(spec.name, first.cursor, limit=1000)

        assert provider.read_logs(spec.name, "", limit=1001).lines == (*first.lines, *rest.lines)
        assert provider.read_logs(spec.name, rest.cursor, limit=1000).lines == ()
