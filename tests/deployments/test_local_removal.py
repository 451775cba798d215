"""What a replica leaves in its folder goes, however deep plugins have made it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deployments.providers.base import ReplicaSpec
from deployments.providers.local.replica import Replica
from tests.deep_folders import fill_deeply


def replica_in(folder: Path) -> Replica:
    """A replica that was never started."""
    host: Any = SimpleNamespace(folders=SimpleNamespace(run=folder / "r", logs=folder / "logs"), origin="http://127.0.0.1:8000")
    for made in (host.folders.run, host.folders.logs):
        made.mkdir()
    spec = ReplicaSpec(name="d1-g1", bundle="0" * 64, vcpu=1, ram_mb=1024, deployment="d1", generation=1, region="FRANCE")
    return Replica(spec, host, uid=None)


def test_deep_folders_of_a_replica_neither_stop_its_next_start_nor_its_end(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    replica = replica_in(tmp_path)
    replica.prepare_folder()
    fill_deeply(replica.folder / "home", link_to=outside)

    replica.prepare_folder()

    assert list((replica.folder / "home").iterdir()) == []
    fill_deeply(replica.folder / "home", link_to=outside)
    asyncio.run(replica.stop())
    assert not replica.folder.exists()
    assert (outside / "file").exists()
