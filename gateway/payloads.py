"""The inputs of runs: where each is safe, and what of them is in this gateway's memory."""

from __future__ import annotations

import asyncio
import contextlib

from gateway.budget import Budget
from gateway.errors import NotFound, SlipwayError
from gateway.lanes import Lanes
from gateway.objects import Objects
from gateway.run import Outcome, Replica, Run, Where, failure
from gateway.runtime_client import RuntimeGone, Runtimes
from gateway.settings import Settings
from gateway.store import RunStore
from gateway.valkey import ReplyError

RESEND_POLL = 0.2


class Payloads:
    """Puts inputs where they outlive this process, and brings them back when a runtime is there."""

    def __init__(self, settings: Settings, store: RunStore, objects: Objects, runtimes: Runtimes, budget: Budget, lanes: Lanes) -> None:
        self._settings = settings
        self._store = store
        self._objects = objects
        self._runtimes = runtimes
        self._budget = budget
        self._lanes = lanes

    def count(self, run: Run) -> None:
        """Count the input of a run that came from elsewhere, whether or not there is room."""
        run.reservation = run.reservation or self._budget.reserve()
        run.reservation.set_to(len(run.body))

    async def put_away(self, run: Run) -> None:
        """Put the input of a run that no runtime holds where it is safe; a large one takes no memory here as long as the run waits."""
        await self.choose_place(run)
        if not await self._store.place(run):
            # This process slept, and another gateway has taken over a run whose input only this one has.
            await self._store.supply(run)
        if run.where is Where.OBJECT and (run.seat is None or run.working):
            run.drop_body()
            self._lanes.note_smaller(run)

    async def choose_place(self, run: Run) -> None:
        """Decide where an input outlives this process, and put a large one there."""
        if len(run.body) <= self._settings.valkey_payload or not self._objects.enabled:
            run.where = Where.RECORD
        else:
            key = f"runs/{run.id}/input"
            await self._objects.put(key, run.body)
            run.payload_key, run.size = key, len(run.body)
            run.where = Where.OBJECT

    async def supply(self, asked: Run) -> None:
        """A caller who got no answer sent its request again. If the gateway died before any runtime had the input, this is the only copy."""
        if await self._store.lacks_payload(asked.id):
            await self.choose_place(asked)
            await self._store.supply(asked)

    async def await_again(self, run: Run) -> bool:
        """Wait for the caller of a run whose input is lost to send it again, as one does who was not answered."""
        deadline = asyncio.get_running_loop().time() + self._settings.resend_wait
        while asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(SlipwayError, ReplyError):
                found = await self._store.read_own(run.id)
                if found is None:
                    return False
                if found.where is not Where.COPIES:
                    run.where, run.body, run.payload_key = found.where, found.body, found.payload_key
                    self.count(run)
                    return True
            await asyncio.sleep(RESEND_POLL)
        return False

    async def fetch(self, run: Run, replica: Replica) -> Outcome | None:
        """Bring the input of a run that is not in memory; without one the runtime may still know the run by its id.

        Waits until there is room for it. Raises `RuntimeGone`; returns how the run ends if the input is nowhere.
        """
        if run.where is not Where.OBJECT:
            reply = await self._runtimes.pool(replica.address).fetch("GET", f"/runs/{run.id}/input")
            if reply.status == 200:
                run.body = reply.body
                self.count(run)
            return None
        run.reservation = run.reservation or self._budget.reserve()
        # Nobody knows the size of one that another gateway put there.
        await run.reservation.wait_for(run.size or min(self._settings.max_body, self._budget.limit // 4))
        try:
            run.body = await self._objects.get(run.payload_key)
            run.size = len(run.body)
        except NotFound:
            return failure("input_lost", "The input of this run is no longer in the object store. Send it again.")
        except SlipwayError as error:
            raise RuntimeGone(f"the object store does not answer: {error}") from error
        finally:
            run.reservation.set_to(len(run.body))
        return None
