"""Many results in one object: storing an object costs some milliseconds of processor time, however small it is."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from controlplane.common.ids import uuid7
from gateway.errors import SlipwayError
from gateway.objects import Objects
from gateway.run import Outcome

logger = logging.getLogger("gateway.packs")

FULL = 8 * 1024 * 1024
LONGEST_WAIT = 1.0
PAUSES = (0.2, 1.0, 3.0)


class Packs:
    """Collects results for at most a second, then stores them as one object. `Outcome.key` is `<object> <offset> <length>`."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._open: list[tuple[Outcome, asyncio.Future[Outcome]]] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._storing: set[asyncio.Task[None]] = set()

    async def add(self, outcome: Outcome) -> Outcome:
        """Return the outcome with a lasting key; without one when the object store does not answer."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[Outcome] = loop.create_future()
        self._open.append((outcome, stored))
        self._size += len(outcome.content)
        if self._size >= FULL:
            self.close_pack()
        elif self._timer is None:
            self._timer = loop.call_later(LONGEST_WAIT, self.close_pack)
        return await stored

    def close_pack(self) -> None:
        """Store what was collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pack, self._open, self._size = self._open, [], 0
        if pack:
            task = asyncio.create_task(self._store(pack))
            self._storing.add(task)
            task.add_done_callback(self._storing.discard)

    async def drain(self) -> None:
        """Store everything now and wait until that is done."""
        self.close_pack()
        await asyncio.gather(*self._storing, return_exceptions=True)

    async def _store(self, pack: list[tuple[Outcome, asyncio.Future[Outcome]]]) -> None:
        key = f"runs/results/{uuid7()}"
        stored = await self._put(key, b"".join(outcome.content for outcome, _ in pack))
        offset = 0
        for outcome, waiter in pack:
            if not waiter.done():
                place = f"{key} {offset} {len(outcome.content)}" if stored else ""
                waiter.set_result(replace(outcome, key=place, kept_at=""))
            offset += len(outcome.content)

    async def _put(self, key: str, data: bytes) -> bool:
        for pause in PAUSES:
            try:
                await self._objects.put(key, data)
            except SlipwayError as error:
                logger.warning("Cannot store results: %s", error)
                await asyncio.sleep(pause)
            except Exception:
                # Those who wait for it must hear something.
                logger.exception("Cannot store results")
                return False
            else:
                return True
        return False
