"""The workflow of an endpoint, as its runtimes describe it. Clients read it before each run, so one that sleeps is no reason to refuse it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict

from gateway.errors import Busy, SlipwayError, Unavailable
from gateway.routes import Route, refusal
from gateway.run import Replica
from gateway.runs import Runs
from gateway.runtime_client import ReplyTooLarge, RuntimeGone
from gateway.valkey import ReplyError

KEPT = 64
KEPT_SIZE = 1024 * 1024
KEPT_FOR = 30 * 86_400
LOOK_EVERY = 1.0


class Workflows:
    """Asks runtimes; keeps what they say of a tag, here and in Valkey, for the time when none is awake."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    async def read(self, route: Route) -> bytes:
        """Return the JSON of a deployment's workflow; wakes a deployment that sleeps. Raises `Unavailable`."""
        if route.asleep and not route.replicas:
            self._runs.demand.note(route.deployment)
            self._runs.demand.wake(route.deployment)
            if (known := await self._find(route)) is not None:
                return known
        replica = self._runs.lanes.any_replica(route) or await self._first_replica(route)
        try:
            reply = await self._runs.runtimes.pool(replica.address).fetch("GET", "/workflow")
        except (RuntimeGone, ReplyTooLarge) as error:
            raise Unavailable("runtime_unavailable", "No runtime of this deployment answers now. Try again in a moment.") from error
        if reply.status != 200:
            raise Unavailable(
                "runtime_not_ready", f"The runtime of this deployment is not ready yet ({reply.status}). Try again in a moment."
            )
        self._keep(route, reply.body)
        return reply.body

    async def _first_replica(self, route: Route) -> Replica:
        """Wait for a replica as long as clients wait for an answer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._runs.settings.long_poll
        now: Route | None = route
        while now is not None and now.asleep and (left := deadline - loop.time()) > 0 and not self._runs.draining:
            await self._runs.routes.wait_for_change(route.slug, min(left, LOOK_EVERY))
            now = await self._runs.routes.get(route.slug)
            if now is not None and (replica := self._runs.lanes.any_replica(now)) is not None:
                return replica
            self._runs.demand.wake(route.deployment)
        if now is not None and (refused := refusal(now)) is not None:
            raise refused
        detail = "This deployment has no replica yet. Runs are accepted and wait for one; for the workflow try again in a moment."
        raise Busy("runtime_unavailable", detail, retry_after=5)

    async def _find(self, route: Route) -> bytes | None:
        name = key_of(route)
        if name in self._kept:
            return self._kept[name]
        with contextlib.suppress(SlipwayError, ReplyError):
            stored: bytes | None = await self._runs.store.valkey.command("GET", name)
            return stored
        return None

    def _keep(self, route: Route, workflow: bytes) -> None:
        name = key_of(route)
        if not route.tag or self._kept.get(name) == workflow or len(workflow) > KEPT_SIZE:
            return
        self._kept[name] = workflow
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        self._runs.in_background(self._store(name, workflow))

    async def _store(self, name: str, workflow: bytes) -> None:
        await self._runs.store.valkey.command("SET", name, workflow, "EX", KEPT_FOR)


def key_of(route: Route) -> str:
    """Return the key under which the workflow of a deployment's tag is kept."""
    return f"sw:workflow:{route.deployment}:{route.tag}"
