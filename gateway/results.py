"""Where results are: small ones in the record, large ones first in two memories (the runtime's and this gateway's), a moment later in an object.

A large result in Valkey would cost its callers more than everything else the gateway does. So the run ends without it, its caller is answered from
this process's memory, and the copy that lasts is made afterwards. Until then a reader at another gateway gets it from the runtime.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from gateway.answers import read_outcome
from gateway.ends import Ends
from gateway.errors import NotFound
from gateway.objects import Objects
from gateway.packs import Packs
from gateway.run import Outcome, Run, State, failure
from gateway.runtime_client import ReplyTooLarge, RuntimeGone, Runtimes
from gateway.settings import Settings
from gateway.store import RunStore, Seen

logger = logging.getLogger("gateway.results")

MOVING = 0.2


class Results:
    """Puts results where they last, and finds them again."""

    def __init__(
        self,
        settings: Settings,
        store: RunStore,
        objects: Objects,
        runtimes: Runtimes,
        ends: Ends,
        in_background: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._objects = objects
        self._runtimes = runtimes
        self._ends = ends
        self._in_background = in_background
        self._packs = Packs(objects)
        self._unsafe = 0

    async def place(self, run: Run, outcome: Outcome) -> Outcome:
        """Say where the record will find the result. Waits only when more results wait for their lasting copy than memory allows."""
        size = len(outcome.content)
        if size <= self._settings.inline_result or not outcome.kept_at:
            return replace(outcome, kept_at="")
        if self._unsafe + size > self._settings.result_memory // 2:
            return await self._lasting(outcome)
        return outcome

    def secure(self, run_id: str, outcome: Outcome) -> None:
        """Make the lasting copy of a result that is only in two memories, in the background."""
        if outcome.kept_at:
            self._unsafe += len(outcome.content)
            self._in_background(self._secure(run_id, outcome))

    async def _secure(self, run_id: str, outcome: Outcome) -> None:
        try:
            lasting = await self._lasting(outcome)
            await self._store.secure(run_id, lasting)
            self._ends.replace(run_id, lasting)
        finally:
            self._unsafe -= len(outcome.content)

    async def _lasting(self, outcome: Outcome) -> Outcome:
        """Return the outcome with its content in an object; in the record where there is no object store, or none that answers."""
        return await self._packs.add(outcome) if self._objects.enabled else replace(outcome, kept_at="")

    async def drain(self) -> None:
        """Make the lasting copies that are missing."""
        await self._packs.drain()

    async def find(self, run_id: str, seen: Seen) -> tuple[State, bytes] | None:
        """Return how a run ended and its content; None: the content has just moved, read the record again. Raises `NotFound`, `Unavailable`."""
        if seen.result_kind == "inline":
            return seen.state, seen.result
        if seen.result_kind == "object":
            try:
                key, offset, length = seen.result.decode().split()
                return seen.state, await self._objects.get_part(key, int(offset), int(length))
            except NotFound as error:
                raise NotFound("run_unknown", "The results of this run are older than an hour.") from error
        return await self._from_runtime(run_id, seen)

    async def _from_runtime(self, run_id: str, seen: Seen) -> tuple[State, bytes] | None:
        address = seen.result.decode()
        try:
            reply = await self._runtimes.pool(address).fetch("GET", f"/runs/{run_id}")
            if reply.status == 200:
                outcome = replace(read_outcome(reply.body), kept_at=address)
                self.secure(run_id, outcome)
                return outcome.state, outcome.content
        except (RuntimeGone, ReplyTooLarge) as error:
            logger.warning("The runtime does not have the result of run %s: %s", run_id, error)
        await asyncio.sleep(MOVING)
        again = await self._store.look(run_id, wait=False)
        if again is not None and again.result_kind != "runtime":
            return None
        lost = failure("result_lost", "The gateway and the runtime died before the results were stored. Send the run again.")
        return lost.state, lost.content
