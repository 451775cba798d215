"""The runs that this process knows: in hand, finished and kept, or expired. What makes `PUT /runs/{uuid}` idempotent."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from runtime.errors import RequestRefused
from runtime.settings import Settings

EXPIRED_IDS = 200_000
UUID_VERSION_WITH_TIME = 7


class Run:
    """One run. `body` is held until the end, `answer` (the final JSON) from then on."""

    __slots__ = ("answer", "body", "ended", "ended_at", "uuid")

    def __init__(self, uuid: str, body: bytes) -> None:
        self.uuid = uuid
        self.body: bytes | None = body
        self.answer = b""
        self.ended = asyncio.Event()
        self.ended_at = 0.0

    async def wait(self) -> bytes:
        """The final JSON, once the run has ended. Giving up waiting does not touch the run."""
        await self.ended.wait()
        return self.answer


class RunBook:
    """All known runs within fixed bounds of memory.

    Answers are kept for a time and up to a size, the oldest go first. Of what went, the id is remembered, so that it is
    never run again; where even the ids grow too many, the time inside a UUIDv7 still tells an old run from a new one.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._in_hand: dict[str, Run] = {}
        self._kept: OrderedDict[str, Run] = OrderedDict()
        self._expired: OrderedDict[bytes, None] = OrderedDict()
        self._forgotten_before_ms = 0
        self._kept_bytes = 0
        self._held_bytes = 0
        self.idle = asyncio.Event()
        self.idle.set()

    def find(self, uuid: str) -> Run | None:
        """The run of that id, None when it was never seen; raises RequestRefused(410) when its answer is gone."""
        self._expire()
        run = self._in_hand.get(uuid) or self._kept.get(uuid)
        if run is None and self._is_expired(UUID(uuid)):
            raise RequestRefused(410, "run_expired", f"the answer of run {uuid} is no longer kept")
        return run

    def begin(self, uuid: str, body: bytes) -> Run:
        """Take a new run in hand; raises RequestRefused(503) when the inputs held would exceed the bound."""
        if self._held_bytes + len(body) > self._settings.held_input_limit:
            raise RequestRefused(503, "busy", "the inputs of the runs in hand fill the memory, try again", retry_after=1)
        run = Run(uuid, body)
        self._held_bytes += len(body)
        self._in_hand[uuid] = run
        self.idle.clear()
        return run

    def end(self, run: Run, answer: bytes) -> None:
        """Record the final answer and wake all who wait for it."""
        self._held_bytes -= len(run.body or b"")
        run.body = None
        run.answer = answer
        run.ended_at = self._clock()
        del self._in_hand[run.uuid]
        self._kept[run.uuid] = run
        self._kept_bytes += len(answer)
        run.ended.set()
        if not self._in_hand:
            self.idle.set()
        self._expire()

    @property
    def kept_bytes(self) -> int:
        """Size of all kept answers."""
        return self._kept_bytes

    def _expire(self) -> None:
        oldest_allowed = self._clock() - self._settings.kept_answer_seconds
        while self._kept:
            uuid, run = next(iter(self._kept.items()))
            if self._kept_bytes <= self._settings.kept_answer_limit and run.ended_at >= oldest_allowed:
                break
            del self._kept[uuid]
            self._kept_bytes -= len(run.answer)
            self._remember_expired(UUID(uuid))

    def _remember_expired(self, uuid: UUID) -> None:
        self._expired[uuid.bytes] = None
        if len(self._expired) > EXPIRED_IDS:
            forgotten, _ = self._expired.popitem(last=False)
            oldest = UUID(bytes=forgotten)
            if oldest.version == UUID_VERSION_WITH_TIME:
                self._forgotten_before_ms = max(self._forgotten_before_ms, _milliseconds(oldest))

    def _is_expired(self, uuid: UUID) -> bool:
        if uuid.bytes in self._expired:
            return True
        return uuid.version == UUID_VERSION_WITH_TIME and _milliseconds(uuid) <= self._forgotten_before_ms


def _milliseconds(uuid: UUID) -> int:
    return uuid.int >> 80
