"""Faults of the machine below a replica: none of them is the workflow's, and none ends a replica's life in silence."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controlplane.common.errors import NotFound, Unavailable
from deployments.providers.base import Phase, ReplicaSpec, ReplicaState
from deployments.providers.local import replica as module
from deployments.providers.local.bundle_cache import BadBundle, BundleCache
from deployments.providers.local.client import parse_state
from deployments.providers.local.fleet import Fleet
from deployments.providers.local.logfile import LogWriter
from deployments.providers.local.replica import Replica

SPEC = ReplicaSpec(name="d1-g1", bundle="0" * 64, vcpu=1, ram_mb=1024, deployment="d1", generation=1, region="FRANCE")


class Bundles:
    """A cache that raises one error after the other, then has the bundle."""

    def __init__(self, folder: Path, *errors: Exception) -> None:
        self.folder = folder
        self.errors = list(errors)

    def ensure(self, digest: str) -> Path:
        """Raise what is next."""
        if self.errors:
            raise self.errors.pop(0)
        return self.folder


def replica_in(folder: Path, *errors: Exception) -> Replica:
    """Return a replica whose bundle comes with these errors."""
    host: Any = SimpleNamespace(
        folders=SimpleNamespace(run=folder / "r", logs=folder / "logs"),
        origin="http://127.0.0.1:8000",
        bundles=Bundles(folder, *errors),
        isolation={},
        workers=lambda vcpu: vcpu,
    )
    for made in (host.folders.run, host.folders.logs):
        made.mkdir()
    return Replica(SPEC, host, uid=None)


def life_of(replica: Replica) -> ReplicaState:
    """Let a replica live and return what the driver reads of its end."""
    try:
        asyncio.run(replica.run())
    finally:
        replica.log.close()
    return parse_state(replica.state())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EMFILE, "Too many open files"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        RuntimeError("can't start new thread"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("place", ["fetch", "spawn"])
def test_what_the_machine_lacks_is_no_fault_of_the_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, place: str
) -> None:
    replica = replica_in(tmp_path, *([error] if place == "fetch" else []))

    async def spawn(self: Replica, bundle: Path) -> None:
        raise error

    monkeypatch.setattr(Replica, "spawn", spawn)
    with caplog.at_level(logging.CRITICAL):
        state = life_of(replica)

    assert (state.phase, state.passing) == (Phase.FAILED, True)
    assert "This machine could not" in state.detail


@pytest.mark.parametrize("error", [BadBundle("no readable tar"), NotFound("object_missing", "No object.")])
def test_a_bundle_that_is_no_good_will_not_be_better_elsewhere(tmp_path: Path, error: Exception) -> None:
    state = life_of(replica_in(tmp_path, error))

    assert (state.phase, state.passing) == (Phase.FAILED, False)


def test_a_bundle_that_breaks_off_on_its_way_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_BACKOFF", 0.001)
    replica = replica_in(tmp_path, Unavailable("object_store", "It broke off."), Unavailable("object_store", "It broke off."))

    found = asyncio.run(replica.fetch())

    replica.log.close()
    assert found == tmp_path
    assert replica.detail == "It broke off."


def test_the_life_of_a_replica_that_failed_ends_without_an_error_of_its_own(tmp_path: Path) -> None:
    """An exception that leaves the task would be seen by nobody."""
    replica = replica_in(tmp_path, ValueError("a bug"))

    state = life_of(replica)

    assert (state.phase, state.passing) == (Phase.FAILED, True)
    assert asdict(state)["detail"].startswith("This machine could not start it: ValueError")


def test_one_replica_that_cannot_begin_keeps_an_agent_from_none_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = SimpleNamespace(run=tmp_path / "r", logs=tmp_path / "logs", replicas=tmp_path / "replicas", bundles=tmp_path / "bundles")
    for made in (folders.run, folders.logs, folders.replicas, folders.bundles):
        made.mkdir()
    for name in ("d1-g1", "d2-g1"):
        (folders.replicas / f"{name}.json").write_text(json.dumps({"spec": {**asdict(SPEC), "name": name}}))
    host: Any = SimpleNamespace(
        folders=folders,
        origin="http://127.0.0.1:8000",
        bundles=BundleCache(folders.bundles, lambda digest: io.BytesIO(), limit=1),
        limiter=SimpleNamespace(clear=lambda: None),
        sandbox=SimpleNamespace(own_user=False),
    )

    def open_log(folder: Path, name: str) -> LogWriter:
        if name == "d1-g1":
            raise OSError(errno.ENOSPC, "No space left on device")
        return LogWriter(folder, name)

    monkeypatch.setattr(module, "LogWriter", open_log)
    monkeypatch.setattr(Replica, "start", lambda self: self.log.close())
    fleet = Fleet(host)

    fleet.resume()

    assert list(fleet.replicas) == ["d2-g1"]
    assert (folders.replicas / "d1-g1.json").exists()
