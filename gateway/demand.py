"""What the control plane must know to start and stop replicas: which deployments have how much to do, and which sleeping ones are called.

Once a second at most, one message for all deployments; nothing while nothing runs. What is lost in an outage of Valkey is told again after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from gateway.errors import SlipwayError
from gateway.run import Run, now_ms
from gateway.valkey import ReplyError, Valkey

logger = logging.getLogger("gateway.demand")

WAKE = "sw:wake"
ACTIVE = "sw:active"
REPORT_EVERY = 1.0
PATIENCE = 2.0
LOAD_TTL = 60
ACTIVE_MS = 30 * 86_400_000
BATCH = 500


class Demand:
    """The load and the wake-up calls of one gateway."""

    def __init__(
        self, valkey: Valkey, gateway: str, live: Mapping[str, Run], in_background: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        self._valkey = valkey
        self._gateway = gateway
        self._live = live
        self._in_background = in_background
        self._last: dict[str, int] = {}
        self._untold: set[str] = set()
        self._called: set[str] = set()
        self._called_before: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to report."""
        self._task = asyncio.create_task(self._repeat(), name="demand")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def note(self, deployment: str) -> None:
        """Somebody asked for a run."""
        self._last[deployment] = now_ms()
        self._untold.add(deployment)

    def wake(self, deployment: str) -> None:
        """Somebody waits for a deployment that sleeps: told at once, and with the next reports as long as this is called."""
        if deployment not in self._called and deployment not in self._called_before:
            self._in_background(self._call([deployment]))
        self._called.add(deployment)

    async def report(self) -> None:
        """Tell what there is to tell; without an answer it stays untold."""
        called, self._called, self._called_before = self._called, set(), self._called
        in_flight = Counter(run.about.deployment for run in self._live.values())
        names = sorted(self._untold | in_flight.keys())
        if not self._valkey.connected or not (called or names):
            return
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(
                *([self._call(sorted(called))] if called else []),
                *(self._tell(names[at : at + BATCH], in_flight) for at in range(0, len(names), BATCH)),
            )

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(REPORT_EVERY)
            try:
                await self.report()
            except (TimeoutError, SlipwayError, ReplyError) as error:
                logger.warning("Could not tell the load: %s", error or type(error).__name__)
            except Exception:
                logger.exception("Could not tell the load")

    async def _call(self, deployments: list[str]) -> None:
        await self._valkey.command("SADD", WAKE, *deployments)

    async def _tell(self, names: list[str], in_flight: Counter[str]) -> None:
        now = now_ms()
        last = {name: self._last.setdefault(name, now) for name in names}
        loads = [part for name in names for part in (name, f"{in_flight[name]}:{last[name]}:{now}")]
        keys = (ACTIVE, *(f"sw:load:{name}" for name in names))
        await self._valkey.script("report", keys, self._gateway, now, LOAD_TTL, ACTIVE_MS, *loads)
        for name in names:
            if self._last[name] != last[name]:
                continue
            # What is in flight now must be told once more when it has ended.
            if in_flight[name]:
                self._untold.add(name)
            else:
                self._untold.discard(name)
                del self._last[name]
