"""The periodic work of a gateway, when Valkey answers some of it and not the rest."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from gateway.settings import Settings
from gateway.store import Beat
from gateway.sweep import Sweep
from gateway.valkey import ReplyError
from tests.gateway.test_lanes import made_run


class Store:
    """Records of a Valkey that was emptied once, and that refuses the first write after that."""

    def __init__(self) -> None:
        self.valkey = SimpleNamespace(connected=True)
        self.beats = [Beat(unknown=True, dead=[])]
        self.refusals = 1
        self.written: list[str] = []

    async def beat(self) -> Beat:
        return self.beats.pop() if self.beats else Beat(unknown=False, dead=[])

    async def accept(self, run: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            raise ReplyError("OOM command not allowed when used memory > 'maxmemory'.")
        self.written.append(run.id)

    async def mine(self) -> set[str]:
        return set()


class Runs:
    def __init__(self, store: Store) -> None:
        run = made_run("held")
        run.recorded = True
        self.store, self.live = store, {run.id: run}
        self.ends = SimpleNamespace(drop_old=lambda: None, since=lambda seconds: [])
        self.beat_at, self.crowding = float("inf"), 0.0

    def unsettle(self) -> None: ...

    def wake_all(self) -> None: ...

    def leave_to_others(self, runs: list[Any]) -> None:
        assert runs == []


def test_live_runs_are_written_again_until_valkey_takes_them() -> None:
    async def scenario() -> None:
        store = Store()
        parts = SimpleNamespace(forget_all=lambda: None, check=lambda: None)
        settings = Settings(redis_url="", sweep_interval=0.001)
        sweep = Sweep(settings, cast("Any", Runs(store)), cast("Any", parts), cast("Any", None), cast("Any", parts))
        sweep._known = True
        sweep.start()
        async with asyncio.timeout(10):
            while not store.written:  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.001)
        await sweep.stop()
        assert store.written == ["held"]

    asyncio.run(scenario())
