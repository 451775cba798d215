"""Where runs wait for a replica: one queue for each deployment, in the order of acceptance.

A replica gets little more than its workers can do at once, and the rest waits here: so a replica that is added takes waiting runs in the moment
when it appears, and one that goes has little to finish. Each gateway counts what it gave itself; among equals it draws, so that many gateways do
not all choose the same one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.budget import Shares
from gateway.errors import SlipwayError
from gateway.line import Line, Waiter
from gateway.patience import Darkness, verdict_on
from gateway.routes import Route, RouteTable
from gateway.run import Admission, Outcome, Replica, Run, Verdict
from gateway.settings import Settings
from gateway.valkey import ReplyError

logger = logging.getLogger("gateway.lanes")

AVOID_FOR = 0.25
RUNS_A_WORKER = 2
WORK_AHEAD_MS = 1000.0
MOST_AHEAD = 64
ANSWER_AFTER = 0.05
LOOK_EVERY = 0.25
LOOK_EVERY_WITHOUT_REPLICAS = 1.0
WAITING_RUN_SIZE = 8192
LANES = 10_000


@dataclass(slots=True, eq=False)
class _Lane:
    """One deployment. `given` counts runs by address, `working` those of them that the replica has taken; `pace` is the usual time in a worker in ms."""

    slug: str
    waiting: Line = field(default_factory=Line)
    given: dict[str, int] = field(default_factory=dict)
    working: Counter[str] = field(default_factory=Counter)
    had_replicas: bool = False
    pace: float | None = None
    darkness: Darkness = field(default_factory=Darkness)
    watcher: asyncio.Task[None] | None = None

    def alive(self, route: Route | None) -> bool:
        """Tell whether a replica of the route works on a run: then it answers, though no place may be free to ask it again."""
        return route is not None and any(self.working[replica.address] for replica in route.replicas)

    def room(self, replica: Replica) -> int:
        """Return how many runs a replica is given at most: two for each worker; of short ones as many as it does in a second, up to 64."""
        workers = max(1, replica.workers)
        ahead = 0 if self.pace is None else int(workers * WORK_AHEAD_MS / max(self.pace, 1.0))
        return max(RUNS_A_WORKER * workers, min(ahead, MOST_AHEAD))


class Lanes:
    """The queues of one gateway. A run has a place (`seat`) at a replica, waits for one, or is done with both."""

    def __init__(
        self,
        settings: Settings,
        routes: RouteTable,
        *,
        on_moved: Callable[[Run], None],
        on_cold: Callable[[str], None],
        owns_runs: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._owns_runs = owns_runs
        self._routes = routes
        self._on_moved = on_moved
        self._on_cold = on_cold
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._avoid: dict[str, float] = {}
        self._shares = Shares(settings.waiting_memory)

    # Places

    def enter(self, run: Run, route: Route) -> None:
        """Give a new run a place at once, if there is one and nobody waits."""
        lane = self._lane(run)
        if not lane.waiting and (replica := self._free(lane, route)) is not None:
            self._seat(lane, run, replica)

    async def take(self, run: Run, *, again: bool) -> Replica | Outcome | None:
        """Wait for a place; return the replica, or how the run ends without one, or None when it is refused (its admission says why).

        `again`: the last attempt has just failed. The run goes before those that wait, and to replicas that have just failed if there is no other.
        """
        if run.seat is not None:
            return run.replica
        lane = self._lane(run)
        route = self._routes.peek(lane.slug)
        if route is None:
            route = await self._read(lane)
            # It may have been forgotten meanwhile.
            lane = self._lane(run)
        if route is not None:
            replica = self._holder(run, route)
            left = replica is not None and replica not in route.replicas
            if replica is None and (again or not lane.waiting):
                replica = self._free(lane, route) or (self._free(lane, route, also_avoided=True) if again else None)
            if replica is not None:
                self._seat(lane, run, replica, left=left)
                return replica
        return await self._wait(lane, run, route, again=again)

    def release(self, run: Run) -> None:
        """Give the place back, if the run has one; the next one takes it."""
        address, run.seat = run.seat, None
        lane = self._lanes.get(run.about.slug)
        if address is None or lane is None:
            return
        if run.working:
            run.working = False
            lane.working[address] -= 1
            if lane.working[address] <= 0:
                del lane.working[address]
        lane.given[address] -= 1
        if not lane.given[address]:
            del lane.given[address]
        if lane.waiting:
            self._pump(lane)

    def leave(self, run: Run) -> None:
        """The run is over: it neither waits nor has a place."""
        lane = self._lanes.get(run.about.slug)
        if lane is not None and (waiter := lane.waiting.get(run.id)) is not None:
            lane.waiting.remove(waiter)
            waiter.place.cancel()
        self.release(run)

    def waits(self, run: Run) -> bool:
        """Tell whether a run stands in line here."""
        lane = self._lanes.get(run.about.slug)
        return lane is not None and lane.waiting.get(run.id) is not None

    def note_smaller(self, run: Run) -> None:
        """The input of a run that waits has left this process's memory."""
        lane = self._lanes.get(run.about.slug)
        if lane is not None and (waiter := lane.waiting.get(run.id)) is not None:
            size = WAITING_RUN_SIZE + len(run.body)
            self._shares.give(lane.slug, waiter.size - size)
            waiter.size = size

    def any_replica(self, route: Route) -> Replica | None:
        """Return the least busy replica for a short question that takes no place."""
        given = lane.given if (lane := self._lanes.get(route.slug)) else {}
        now = time.monotonic()
        return min(route.replicas, key=lambda one: (self._avoided(one, now), given.get(one.address, 0) / max(1, one.workers)), default=None)

    # What attempts found out

    def note_answer(self, run: Run, replica: Replica) -> None:
        """A replica took a run: the deployment is alive."""
        was_avoided = self._avoid.pop(replica.address, None) is not None
        if (lane := self._lanes.get(run.about.slug)) is not None:
            lane.darkness.end()
            if run.seat == replica.address and not run.working:
                run.working = True
                lane.working[replica.address] += 1
            if was_avoided and lane.waiting:
                self._pump(lane)

    def note_pace(self, run: Run, milliseconds: float) -> None:
        """A run took so long in a worker."""
        lane = self._lane(run)
        lane.pace = milliseconds if lane.pace is None else 0.8 * lane.pace + 0.2 * milliseconds

    def avoid(self, run: Run, replica: Replica, *, full: bool = False) -> None:
        """A replica could not be reached, stops, or is full: for a moment prefer others."""
        now = time.monotonic()
        if len(self._avoid) > LANES:
            self._avoid = {address: until for address, until in self._avoid.items() if until > now}
        self._avoid[replica.address] = now + AVOID_FOR
        lane, route = self._lane(run), self._routes.peek(run.about.slug)
        # One that has left the route, or one of several, says nothing of the deployment.
        if not full and not run.left and not lane.alive(route):
            lane.darkness.begin(now)

    def has_others(self, run: Run) -> bool:
        """Return whether there are replicas that have not just failed or refused."""
        route, now = self._routes.peek(run.about.slug), time.monotonic()
        return route is not None and any(not self._avoided(one, now) for one in route.replicas)

    # Inside

    def _lane(self, run: Run) -> _Lane:
        slug = run.about.slug
        lane = self._lanes.get(slug)
        if lane is None:
            lane = self._lanes[slug] = _Lane(slug)
            if len(self._lanes) > LANES:
                self._forget_idle()
        return lane

    def _forget_idle(self) -> None:
        for slug in [slug for slug, lane in self._lanes.items() if not lane.waiting and not lane.given][: LANES // 10]:
            del self._lanes[slug]

    def _avoided(self, replica: Replica, now: float) -> bool:
        return self._avoid.get(replica.address, 0.0) > now

    def _free(self, lane: _Lane, route: Route, *, also_avoided: bool = False) -> Replica | None:
        """Return the replica with the least runs for its workers that has room, one by lot among equals."""
        now = time.monotonic()
        best: list[Replica] = []
        least = float("inf")
        for replica in route.replicas:
            given = lane.given.get(replica.address, 0)
            if given >= lane.room(replica) or (self._avoided(replica, now) and not also_avoided):
                continue
            load = given / max(1, replica.workers)
            if load < least:
                best, least = [replica], load
            elif load == least:
                best.append(replica)
        return random.choice(best) if len(best) > 1 else best[0] if best else None  # noqa: S311 - spreads load, guards nothing

    def _holder(self, run: Run, route: Route) -> Replica | None:
        """Return the replica that probably has the run already. It may have left the route: then it still ends what it has."""
        asked = run.replica
        if asked is None:
            return None
        now = time.monotonic()
        for replica in route.replicas:
            if replica.id == asked.id:
                return replica if run.only_there or not self._avoided(replica, now) else None
        return asked if asked.address and not self._avoided(asked, now) else None

    def _seat(self, lane: _Lane, run: Run, replica: Replica, *, left: bool = False) -> None:
        moved = run.replica is None or run.replica.label != replica.label
        run.seat, run.replica, run.left = replica.address, replica, left
        lane.given[replica.address] = lane.given.get(replica.address, 0) + 1
        if moved:
            self._on_moved(run)

    async def _wait(self, lane: _Lane, run: Run, route: Route | None, *, again: bool) -> Replica | Outcome | None:
        size = WAITING_RUN_SIZE + len(run.body)
        if not self._shares.take(lane.slug, size, force=run.admission is not None):
            detail = "More runs wait for this deployment than the gateway can hold. Try again in a moment, or use a larger size."
            run.admit(Admission(Verdict.BUSY, 503, "too_many_waiting", detail, retry_after=5))
            return None
        loop = asyncio.get_running_loop()
        waiter = Waiter(run, loop.create_future(), size)
        lane.waiting.add(waiter)
        run.cold = run.cold or sleeps(route)
        # Whoever sent it need not wait with it; but where a place comes soon, the runtime's own first word is the better answer.
        soon = not again and route is not None and route.replicas
        answering = loop.call_later(ANSWER_AFTER if soon else 0.0, run.admit, Admission(Verdict.DEFERRED))
        if lane.watcher is None:
            lane.darkness.end()
            lane.watcher = asyncio.create_task(self._watch(lane), name=f"lane {lane.slug}")
        try:
            return await waiter.place
        finally:
            answering.cancel()
            lane.waiting.remove(waiter)
            self._shares.give(lane.slug, waiter.size)

    def _pump(self, lane: _Lane) -> None:
        """Hand free places to those who wait, unless they may be another gateway's by now."""
        route = self._routes.peek(lane.slug) if lane.waiting and self._owns_runs() else None
        while route is not None and (replica := self._free(lane, route)) is not None:
            if (waiter := lane.waiting.pop()) is None:
                return
            self._seat(lane, waiter.run, replica)
            waiter.place.set_result(replica)

    async def _watch(self, lane: _Lane) -> None:
        """As long as runs wait: follow the route, hand out places, end those that have waited long enough."""
        try:
            while lane.waiting:
                try:
                    await self._watch_once(lane)
                except Exception:
                    logger.exception("Looking after the runs that wait for %s failed; going on", lane.slug)
                    await asyncio.sleep(LOOK_EVERY)
        finally:
            lane.watcher = None

    async def _watch_once(self, lane: _Lane) -> None:
        route = await self._read(lane)
        self._pump(lane)
        self._look(lane, route)
        has_replicas = route is not None and bool(route.replicas)
        await self._routes.wait_for_change(lane.slug, LOOK_EVERY if has_replicas else LOOK_EVERY_WITHOUT_REPLICAS)
        if not has_replicas:
            # An announcement may have been missed, and there is nothing else to learn of a replica from.
            self._routes.forget(lane.slug)

    def _look(self, lane: _Lane, route: Route | None) -> None:
        now = time.monotonic()
        asleep = sleeps(route)
        if asleep and lane.waiting and route is not None:
            self._on_cold(route.deployment)
        has_replicas = route is not None and bool(route.replicas)
        if asleep or lane.alive(route) or (has_replicas and not lane.had_replicas):
            # Waking has a limit of its own; replicas that have just come have had no time to answer.
            lane.darkness.end()
        elif not has_replicas:
            lane.darkness.begin(now)
        lane.had_replicas = has_replicas
        for waiter in lane.waiting:
            waiter.run.cold = waiter.run.cold or asleep
            ended = verdict_on(waiter.run, route, lane.darkness, self._settings, now, since=waiter.since)
            if ended is not None and lane.waiting.remove(waiter) and not waiter.place.done():
                waiter.place.set_result(ended)

    async def _read(self, lane: _Lane) -> Route | None:
        while True:
            try:
                return await self._routes.get(lane.slug)
            except (SlipwayError, ReplyError) as error:
                logger.warning("Cannot read the route of %s: %s", lane.slug, error)
                await asyncio.sleep(0.2)
            except Exception:
                logger.exception("Cannot read the route of %s", lane.slug)
                await asyncio.sleep(1.0)


def sleeps(route: Route | None) -> bool:
    """Tell whether a deployment has no replica because nobody called."""
    return route is not None and route.asleep and not route.replicas
