"""The fake cloud of the tests behind a unix socket, with the delays of a real one, so that several workers share it.

`python -m bench.slow_cloud SOCKET` serves until it is killed. Each call takes 20-80 ms, a machine is ready after 4-12 s.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from datetime import timedelta
from multiprocessing.managers import BaseManager
from typing import Any

from controlplane.common import clock
from deployments.providers.base import LogChunk, ReplicaSpec, ReplicaState
from tests.fakes.cloud import FakeCloud, Machine, Temper

CALL_SECONDS = (0.02, 0.08)
BOOT_SECONDS = (4.0, 12.0)
# Guards nothing: the socket lies in a folder of this user.
KEY = b"bench"


class SlowCloud:
    """A `Provider`: one cloud for all callers, each call in a thread of its own."""

    def __init__(self) -> None:
        self.cloud = FakeCloud(random.Random(4), Temper(boot=BOOT_SECONDS))
        self.lock = threading.Lock()
        self.counts: dict[str, int] = {}

    def call(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Do what the cloud does, after a moment."""
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1
            seconds = self.cloud.rng.uniform(*CALL_SECONDS)
        time.sleep(seconds)
        if name == "log_positions":
            return self.log_positions()
        with self.lock:
            return getattr(self.cloud, name)(*arguments, **named)

    def log_positions(self) -> dict[str, str]:
        """Return where the log of each machine ends: nobody prints here."""
        with self.lock:
            return dict.fromkeys(self.cloud.machines, "")

    def adopt(self, specs: list[ReplicaSpec]) -> None:
        """Have these machines, ready for an hour, without a word."""
        now = clock.now()
        then = now - timedelta(hours=1)
        with self.lock:
            for spec in specs:
                self.cloud.machines[spec.name] = Machine(spec, made_at=then, visible_at=then, ready_at=then)

    def forget(self) -> None:
        """Have no machine any more."""
        with self.lock:
            self.cloud.machines.clear()

    def take_counts(self) -> dict[str, int]:
        """Return how often each call came since this was asked last."""
        with self.lock:
            counts, self.counts = self.counts, {}
        return counts


THE_CLOUD = SlowCloud()


def the_cloud() -> SlowCloud:
    """Return the one cloud of this process."""
    return THE_CLOUD


class CloudServer(BaseManager):
    """Serves the cloud; each thread of a client has a connection."""


CloudServer.register("cloud", callable=the_cloud, exposed=("call", "adopt", "forget", "take_counts"))


def connect(socket: str) -> Any:
    """Return the cloud behind a socket, for any thread of this process."""
    server = CloudServer(address=socket, authkey=KEY)
    server.connect()
    return server.cloud()  # type: ignore[attr-defined]


class CloudClient:
    """The provider in a worker: every call goes to the cloud's process."""

    name = "local"
    visibility_delay = 60.0

    def __init__(self, socket: str) -> None:
        self.cloud = connect(socket)

    def ensure_replica(self, spec: ReplicaSpec) -> ReplicaState:
        state: ReplicaState = self.cloud.call("ensure_replica", spec)
        return state

    def get_replica(self, name: str) -> ReplicaState | None:
        state: ReplicaState | None = self.cloud.call("get_replica", name)
        return state

    def delete_replica(self, name: str) -> None:
        self.cloud.call("delete_replica", name)

    def list_replicas(self) -> list[ReplicaState]:
        states: list[ReplicaState] = self.cloud.call("list_replicas")
        return states

    def read_logs(self, name: str, cursor: str, *, limit: int) -> LogChunk:
        chunk: LogChunk = self.cloud.call("read_logs", name, cursor, limit=limit)
        return chunk

    def log_positions(self) -> dict[str, str]:
        positions: dict[str, str] = self.cloud.call("log_positions")
        return positions

    def drop_logs(self, name: str) -> None:
        """There is none."""


def main(socket: str) -> None:
    """Serve."""
    # By its module's name, so that clients and server speak of the same classes.
    from bench.slow_cloud import CloudServer as Server

    Server(address=socket, authkey=KEY).get_server().serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
