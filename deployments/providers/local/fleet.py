"""All replicas of the agent: what is wanted stands on disk, so that an agent that starts again starts them again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deployments.providers.base import ReplicaSpec
from deployments.providers.local import limits, logfile
from deployments.providers.local.host import Host
from deployments.providers.local.replica import Replica
from deployments.providers.local.sandbox import user_for

logger = logging.getLogger(__name__)

# Below this a new replica would push the machine into swapping or the kernel's killer.
LEAST_FREE_MB = 384


class NoRoom(Exception):
    """The machine has too little memory left for another replica."""


class NameTaken(Exception):
    """There is a replica of this name with another specification."""


class Fleet:
    """Replicas by name. Every method runs on the agent's event loop."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.replicas: dict[str, Replica] = {}
        self.stopping: set[asyncio.Task[None]] = set()

    def file(self, name: str) -> Path:
        """Return where a replica's specification is kept."""
        return self.host.folders.replicas / f"{name}.json"

    def resume(self) -> None:
        """Clear what a killed agent left behind and start again what is wanted."""
        self.host.limiter.clear()
        self.host.bundles.clear()
        logfile.mend(self.host.folders.logs)
        for path in sorted(self.host.folders.replicas.glob("*.json")):
            try:
                kept = json.loads(path.read_text())
                self.begin(ReplicaSpec(**kept["spec"]))
            except (ValueError, TypeError, KeyError) as error:
                logger.warning("%s is no specification (%s): left alone", path, error)
            except OSError as error:
                logger.warning("%s cannot begin, whoever wants it asks again: %s", path, error)
        self.host.bundles.prune()
        logfile.prune(self.host.folders.logs, keep=self.replicas)

    def begin(self, spec: ReplicaSpec) -> Replica:
        """Start a replica's life."""
        uid = None
        if self.host.sandbox.own_user:
            uid = user_for(spec.name, [replica.uid for replica in self.replicas.values() if replica.uid is not None])
        replica = Replica(spec, self.host, uid=uid)
        self.host.bundles.hold(spec.bundle)
        self.replicas[spec.name] = replica
        replica.start()
        return replica

    def ensure(self, spec: ReplicaSpec) -> dict[str, Any]:
        """Start a replica unless it is there; its specification is on disk before it starts. Raises NoRoom, NameTaken."""
        if (existing := self.replicas.get(spec.name)) is not None:
            if existing.spec != spec:
                raise NameTaken(f"{spec.name} exists with another specification.")
            return existing.state()
        if (free := limits.available_memory_mb()) < LEAST_FREE_MB:
            raise NoRoom(f"This machine has {free} MB of memory left; a replica needs at least {LEAST_FREE_MB} MB.")
        write_durably(self.file(spec.name), json.dumps({"spec": asdict(spec)}))
        return self.begin(spec).state()

    def state(self, name: str) -> dict[str, Any] | None:
        """Return a replica's state, or None."""
        replica = self.replicas.get(name)
        return replica.state() if replica else None

    def delete(self, name: str) -> dict[str, Any] | None:
        """Begin to drain and end a replica; None when there is none (any more)."""
        self.file(name).unlink(missing_ok=True)
        replica = self.replicas.get(name)
        if replica is None:
            return None
        if not any(task.get_name() == name for task in self.stopping):
            task = asyncio.create_task(self.end(replica), name=name)
            self.stopping.add(task)
            task.add_done_callback(self.stopping.discard)
        return replica.state()

    async def end(self, replica: Replica) -> None:
        """Stop a replica, then forget it."""
        await replica.stop()
        self.replicas.pop(replica.spec.name, None)
        await asyncio.to_thread(self.host.bundles.release, replica.spec.bundle)

    async def close(self) -> None:
        """Stop all replicas at once; they stay wanted."""
        await asyncio.gather(*(replica.stop() for replica in self.replicas.values()), return_exceptions=True)
        self.host.limiter.close()


def write_durably(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, even after a power cut."""
    scratch = path.with_suffix(".part")
    with scratch.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path)
