"""Brings one run to its end: picks a replica, asks it, asks again when it dies, and says so when nobody can do it."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from gateway.answers import read_outcome, read_refusal
from gateway.lanes import Lanes
from gateway.patience import timed_out, unavailable
from gateway.payloads import Payloads
from gateway.run import Admission, Outcome, Replica, Run, Verdict, Where, failure
from gateway.runtime_client import Reply, ReplyTooLarge, RuntimeGone, Runtimes
from gateway.settings import Settings

logger = logging.getLogger("gateway.driver")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
QUEUED = 1.0
DEATHS_BY_ONE_RUN = 3
BUSY = "All replicas of this deployment have a full queue. Try again in a moment, or use a larger size."


@dataclass(slots=True)
class _Trouble:
    """What went wrong so far with one run. Times are monotonic seconds."""

    gone_since: float | None = None
    deaths: int = 0
    attempts: int = 0

    def pause(self) -> float:
        """Return how long to wait before the next attempt: none before the second (a kept connection may just have been stale)."""
        self.attempts += 1
        return 0.0 if self.attempts == 1 else min(FIRST_PAUSE * 2.0 ** (self.attempts - 2), LONGEST_PAUSE)


class Driver:
    """Runs runs. Knows nothing of records, callers or charges."""

    def __init__(self, settings: Settings, lanes: Lanes, runtimes: Runtimes, payloads: Payloads) -> None:
        self._settings = settings
        self._lanes = lanes
        self._runtimes = runtimes
        self._payloads = payloads

    async def drive(self, run: Run) -> Outcome | None:
        """Return how the run ended, or None when it was refused before it was admitted (the admission says why)."""
        trouble = _Trouble()
        while run.elapsed < self._settings.run_timeout:
            waiting_since = time.monotonic()
            place = await self._lanes.take(run, again=trouble.attempts == 1)
            if time.monotonic() - waiting_since > QUEUED:
                # It stood in line while others were served; that is no time in which nobody answered.
                trouble.gone_since = None
            if not isinstance(place, Replica):
                return place
            try:
                verdict = await self._attempt(run, place, trouble)
            finally:
                self._lanes.release(run)
            if verdict is True:
                return None
            if isinstance(verdict, Outcome):
                return verdict
            await asyncio.sleep(trouble.pause())
        return timed_out(self._settings)

    async def _attempt(self, run: Run, replica: Replica, trouble: _Trouble) -> Outcome | bool:
        """Ask one replica. Returns the outcome, True when the run was refused, False when it should be tried again."""
        pool = self._runtimes.pool(replica.address)
        path = f"/runs/{run.id}"
        try:
            async with asyncio.timeout(self._settings.run_timeout - run.elapsed):
                # What lies in the object store is not fetched for one that has left: it is only asked for what it has.
                if not run.body and not (run.left and run.where is Where.OBJECT):
                    lost = await self._payloads.fetch(run, replica)
                    if lost is not None:
                        return lost
                gives = run.body and not run.left
                exchange = await pool.send("PUT", path, run.body, token=run.storage_token) if gives else await pool.send("GET", path)
                if await exchange.started == 200:
                    self._note_taken(run, replica, trouble)
                reply = await exchange.ended
        except RuntimeGone as gone:
            if not gone.started:
                self._lanes.avoid(run, replica)
            return self._note_gone(run, trouble, started=gone.started)
        except TimeoutError:
            return False
        except ReplyTooLarge:
            return self._too_large()
        if reply.status == 404 and run.left and (run.body or run.where is Where.OBJECT):
            # It has ended what it had; this run it never had.
            run.replica = None
            return False
        if reply.status == 404:
            # Others use the place meanwhile.
            self._lanes.release(run)
            if await self._payloads.await_again(run):
                return False
        if reply.status == 200:
            outcome = read_outcome(reply.body)
            self._lanes.note_pace(run, outcome.duration_ms)
            return replace(outcome, kept_at=replica.address)
        return self._judge(run, replica, reply, trouble)

    def _note_taken(self, run: Run, replica: Replica, trouble: _Trouble) -> None:
        trouble.gone_since = None
        self._lanes.note_answer(run, replica)
        run.admit(Admission(Verdict.HELD))
        if run.where is Where.OBJECT:
            run.drop_body()

    def _too_large(self) -> Outcome:
        limit = self._settings.max_reply // 2**20
        return failure("result_too_large", f"The results are larger than {limit} MB. Ask for fewer outputs, or save them to the storage.")

    def _judge(self, run: Run, replica: Replica, reply: Reply, trouble: _Trouble) -> Outcome | bool:
        refused = read_refusal(reply)
        if reply.status == 503 and refused.code == "busy":
            self._lanes.avoid(run, replica, full=True)
            if run.admission is None and not self._lanes.has_others(run):
                run.admit(Admission(Verdict.BUSY, 503, "busy", BUSY))
                return True
            trouble.gone_since = None
            return False
        if reply.status >= 500:
            # 503: it starts or stops, nobody should ask it now. Any other one may be about this run only.
            if reply.status == 503:
                self._lanes.avoid(run, replica)
            return self._note_gone(run, trouble, started=False)
        if reply.status == 404:
            return failure("input_lost", "The gateway and the runtime that held the input of this run both died. Send it again.")
        if run.admission is None:
            run.admit(Admission(Verdict.REFUSED, reply.status, refused.code, refused.detail))
            return True
        return failure(refused.code, refused.detail or f"The runtime refused the run ({reply.status}).", fault=False)

    def _note_gone(self, run: Run, trouble: _Trouble, *, started: bool) -> Outcome | bool:
        now = time.monotonic()
        trouble.gone_since = now if trouble.gone_since is None else trouble.gone_since
        trouble.deaths += started
        if trouble.deaths >= DEATHS_BY_ONE_RUN:
            detail = f"The runtime died {trouble.deaths} times while it worked on this run. Look into the deployment's logs; a larger size may help."
            return failure("runtime_died", detail)
        if now - trouble.gone_since > self._settings.runtime_deadline:
            return unavailable(self._settings)
        # The second attempt follows at once: only if that fails too, the caller is answered without a runtime.
        if trouble.attempts:
            run.admit(Admission(Verdict.DEFERRED))
        return False
