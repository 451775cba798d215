"""Twice a second: this gateway says that it lives, takes over what dead ones left, and cleans up behind itself.

After each reconnection to Valkey, and when Valkey has lost its data, everything that this process knows better is written again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource

from gateway.errors import SlipwayError
from gateway.keys import Keys
from gateway.routes import RouteTable
from gateway.run import Run
from gateway.runs import Runs
from gateway.settings import Settings
from gateway.valkey import ReplyError, Subscriber

logger = logging.getLogger("gateway.sweep")

BEAT_TIMEOUT = 2.0
CLEAN_EVERY = 20
BATCH = 100


class Sweep:
    """The periodic work of one gateway process."""

    def __init__(self, settings: Settings, runs: Runs, routes: RouteTable, keys: Keys, subscriber: Subscriber) -> None:
        self._settings = settings
        self._runs = runs
        self._routes = routes
        self._keys = keys
        self._subscriber = subscriber
        self._adopt_from = float("inf")
        self._connections = 0
        self._known = False
        self._behind = False
        self._task: asyncio.Task[None] | None = None
        self._cleaning: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._repeat(), name="sweep")

    async def stop(self) -> None:
        """End."""
        tasks = [task for task in (self._task, self._cleaning) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def store_is_ready(self) -> None:
        """Valkey was (re)connected: it may have lost what was acknowledged last, or everything."""
        now = asyncio.get_running_loop().time()
        # The others' heartbeats may have run out during the outage: let them beat before anyone is called dead.
        self._adopt_from = now + self._settings.heartbeat_ttl
        self._connections += 1
        self._known = True
        if self._connections > 1:
            self._runs.unsettle()
        await self._runs.store.beat()
        self._runs.beat_at = now
        await self._catch_up()
        self._runs.wake_all()

    async def _repeat(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(self._settings.sweep_interval)
            turn += 1
            try:
                await self._beat_and_adopt()
                if turn % CLEAN_EVERY == 0 and (self._cleaning is None or self._cleaning.done()):
                    self._cleaning = asyncio.create_task(self._clean())
            except TimeoutError:
                logger.warning("Valkey does not answer: reconnecting")
                self._runs.store.valkey.drop()
            except (SlipwayError, ReplyError) as error:
                logger.warning("Sweep failed: %s", error)
            except Exception:
                logger.exception("Sweep failed")

    async def _beat_and_adopt(self) -> None:
        self._runs.crowding = crowding()
        self._runs.ends.drop_old()
        self._subscriber.check()
        store = self._runs.store
        if not store.valkey.connected:
            return
        now = asyncio.get_running_loop().time()
        async with asyncio.timeout(BEAT_TIMEOUT):
            beat = await store.beat()
        slept = now - self._runs.beat_at > self._settings.heartbeat_ttl
        if self._known and (beat.unknown or slept or self._behind):
            logger.warning("Valkey has lost its data, or this gateway slept: writing live runs again")
            self._runs.unsettle()
            await self._catch_up()
            self._routes.forget_all()
            self._runs.wake_all()
        self._runs.beat_at = now
        if asyncio.get_running_loop().time() < self._adopt_from:
            return
        for dead in beat.dead:
            await self._adopt_all(dead)

    async def _adopt_all(self, dead: str) -> None:
        found: list[Run] = []
        more = True
        try:
            while more:
                runs, more = await self._runs.store.adopt(dead)
                found += runs
        finally:
            if found:
                logger.warning("Took over %d runs of gateway %s", len(found), dead)
            # Those that need not wait get their places in the order in which they were accepted, too.
            for run in sorted(found, key=lambda run: run.accepted_ms):
                self._runs.adopt(run)

    async def _catch_up(self) -> None:
        """Make this process and Valkey know the same runs. What fails is done at the next turn."""
        self._behind = True
        await self._write_again()
        await self._take_back()
        self._behind = False

    async def _write_again(self) -> None:
        """Write live runs and the ends of the last seconds; records that are still there stay as they are."""
        live = [run for run in self._runs.live.values() if run.recorded]
        ended = self._runs.ends.since(self._settings.reassert_window)
        store = self._runs.store
        for at in range(0, len(live), BATCH):
            batch = live[at : at + BATCH]
            taken = await asyncio.gather(*(store.accept(run) for run in batch))
            self._runs.leave_to_others([run for run, other in zip(batch, taken, strict=True) if other is not None])
        for at in range(0, len(ended), BATCH):
            await asyncio.gather(*(store.finish(run, outcome) for run, outcome in ended[at : at + BATCH]))

    async def _take_back(self) -> None:
        """Bring runs to their end that Valkey gives to this gateway but that it does not know: the answer that made them was lost."""
        for run_id in await self._runs.store.mine() - self._runs.live.keys():
            run = await self._runs.store.read_own(run_id)
            if run is not None and run_id not in self._runs.live:
                self._runs.adopt(run)

    async def _clean(self) -> None:
        try:
            await self._keys.refresh()
            self._runs.runtimes.keep_only(self._routes.addresses())
            if not self._runs.objects.enabled:
                return
            for key in await self._runs.store.expired_objects():
                await self._runs.objects.delete(key)
                await self._runs.store.forget_object(key)
        except (SlipwayError, ReplyError) as error:
            logger.warning("Cleaning failed: %s", error)


def crowding() -> float:
    """Return the share of this process's file descriptors that is in use, 0 to 1."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return len(os.listdir("/proc/self/fd")) / max(1, limit)
    except OSError:
        return 0.0
