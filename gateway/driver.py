"""Brings one run to its end: picks a replica, asks it, asks again when it dies, and says so when nobody can do it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import msgspec

from gateway.errors import NotFound, SlipwayError
from gateway.objects import Objects
from gateway.routes import Replica, Route, RouteTable
from gateway.run import Admission, Outcome, Run, State, Verdict, Where, failure, now_ms
from gateway.runtime_client import Reply, ReplyTooLarge, RuntimeGone, Runtimes
from gateway.settings import Settings

logger = logging.getLogger("gateway.driver")

AVOID_FOR = 0.25
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
DEATHS_BY_ONE_RUN = 3


class _Ended(msgspec.Struct):
    state: str
    duration_ms: float = 0.0
    results: msgspec.Raw = msgspec.Raw(b"[]")
    error: msgspec.Raw = msgspec.Raw(b"{}")


class _Refused(msgspec.Struct):
    code: str = "refused"
    detail: str = ""


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

    def __init__(
        self,
        settings: Settings,
        routes: RouteTable,
        runtimes: Runtimes,
        objects: Objects,
        *,
        on_moved: Callable[[Run], None],
        find_payload: Callable[[Run], Awaitable[bool]],
    ) -> None:
        self._settings = settings
        self._routes = routes
        self._runtimes = runtimes
        self._objects = objects
        self._on_moved = on_moved
        self._find_payload = find_payload
        self._avoid: dict[str, float] = {}

    def choose(self, route: Route, run: Run | None = None) -> Replica | None:
        """Return the replica for a run: the one that has it, else the least loaded of those that answered last time."""
        now = time.monotonic()
        if run is not None and run.replica:
            for replica in route.replicas:
                if replica.id == run.replica and (run.only_there or self._avoid.get(replica.address, 0) <= now):
                    return replica
        if len(route.replicas) <= 1:
            return route.replicas[0] if route.replicas else None
        return min(route.replicas, key=lambda one: (self._avoid.get(one.address, 0) > now, self._load(one)))

    def _load(self, replica: Replica) -> float:
        return self._runtimes.outstanding(replica.address) / max(1, replica.workers)

    async def drive(self, run: Run) -> Outcome | None:
        """Return how the run ended, or None when it was refused before it was admitted (the admission says why)."""
        trouble = _Trouble()
        while run.elapsed < self._settings.run_timeout:
            route = await self._route(run)
            replica = self.choose(route, run) if route else None
            if replica is None:
                verdict: Outcome | bool = self._note_gone(run, trouble, started=False)
            else:
                verdict = await self._attempt(run, replica, trouble)
            if verdict is True:
                return None
            if isinstance(verdict, Outcome):
                return verdict
            await asyncio.sleep(trouble.pause())
        return failure("run_timeout", f"The run did not end within {self._settings.run_timeout:.0f} s.")

    async def _route(self, run: Run) -> Route | None:
        while True:
            try:
                return await self._routes.get(run.about.slug)
            except SlipwayError:
                await asyncio.sleep(0.2)

    async def _attempt(self, run: Run, replica: Replica, trouble: _Trouble) -> Outcome | bool:
        """Ask one replica. Returns the outcome, True when the run was refused, False when it should be tried again."""
        if run.replica != replica.id:
            run.replica = replica.id
            self._on_moved(run)
        pool = self._runtimes.pool(replica.address)
        path = f"/runs/{run.id}"
        try:
            if not run.body and (lost := await self._fetch_body(run, replica)) is not None:
                return lost
            exchange = await pool.send("PUT", path, run.body, token=run.storage_token) if run.body else await pool.send("GET", path)
            async with asyncio.timeout(self._settings.run_timeout - run.elapsed):
                if await exchange.started == 200:
                    trouble.gone_since = None
                    run.admit(Admission(Verdict.HELD))
                reply = await exchange.ended
        except RuntimeGone as gone:
            if not gone.started:
                self._avoid[replica.address] = time.monotonic() + AVOID_FOR
            return self._note_gone(run, trouble, started=gone.started)
        except TimeoutError:
            return False
        except ReplyTooLarge:
            limit = self._settings.max_reply // 2**20
            return failure(
                "result_too_large", f"The results are larger than {limit} MB. Ask for fewer outputs, or save them to the storage."
            )
        if reply.status == 404 and await self._find_payload(run):
            return False
        outcome = self._judge(run, reply, trouble)
        return replace(outcome, kept_at=replica.address) if isinstance(outcome, Outcome) and reply.status == 200 else outcome

    def _judge(self, run: Run, reply: Reply, trouble: _Trouble) -> Outcome | bool:
        if reply.status == 200:
            return read_outcome(reply.body)
        refused = read_refusal(reply)
        if reply.status == 503 and refused.code == "busy":
            if run.admission is None:
                run.admit(Admission(Verdict.BUSY, 503, "busy", refused.detail))
                return True
            trouble.gone_since = None
            return False
        if reply.status >= 500:
            return self._note_gone(run, trouble, started=False)
        if reply.status == 404:
            return failure("input_lost", "The gateway and the runtime that held the input of this run both died. Send it again.")
        if run.admission is None:
            run.admit(Admission(Verdict.REFUSED, reply.status, refused.code, refused.detail))
            return True
        return failure(refused.code, refused.detail or f"The runtime refused the run ({reply.status}).")

    def _note_gone(self, run: Run, trouble: _Trouble, *, started: bool) -> Outcome | bool:
        now = time.monotonic()
        trouble.gone_since = now if trouble.gone_since is None else trouble.gone_since
        trouble.deaths += started
        if trouble.deaths >= DEATHS_BY_ONE_RUN:
            detail = f"The runtime died {trouble.deaths} times while it worked on this run. Look into the deployment's logs; a larger size may help."
            return failure("runtime_died", detail)
        if now - trouble.gone_since > self._settings.runtime_deadline:
            detail = f"No runtime of this deployment answered for {self._settings.runtime_deadline:.0f} s. Look into its logs, then send the run again."
            return failure("runtime_unavailable", detail)
        # The second attempt follows at once: only if that fails too, the caller is answered without a runtime.
        if trouble.attempts:
            run.admit(Admission(Verdict.DEFERRED))
        return False

    async def _fetch_body(self, run: Run, replica: Replica) -> Outcome | None:
        """Bring the payload of a run that is not in memory; without one the runtime may still know the run by its id."""
        if run.where is Where.OBJECT:
            try:
                run.body = await self._objects.get(run.payload_key)
            except NotFound:
                return failure("input_lost", "The input of this run is no longer in the object store. Send it again.")
            except SlipwayError as error:
                raise RuntimeGone(f"the object store does not answer: {error}") from error
            return None
        reply = await self._runtimes.pool(replica.address).fetch("GET", f"/runs/{run.id}/input")
        if reply.status == 200:
            run.body = reply.body
        return None


def read_outcome(body: bytes) -> Outcome:
    """Turn the runtime's answer into an outcome."""
    try:
        ended = msgspec.json.decode(body, type=_Ended)
        state = State(ended.state)
    except (msgspec.MsgspecError, ValueError):
        logger.exception("Unreadable answer of a runtime: %r", body[:300])
        return failure("runtime_answer", "The runtime gave an answer that cannot be read. Look into the deployment's logs.")
    content = bytes(ended.results) if state is State.SUCCESS else bytes(ended.error)
    return Outcome(state, ended.duration_ms, content, now_ms())


def read_refusal(reply: Reply) -> _Refused:
    """Return the code and the sentence of an answer that is no success."""
    try:
        return msgspec.json.decode(reply.body, type=_Refused)
    except msgspec.MsgspecError:
        return _Refused(detail=reply.body[:500].decode("utf-8", "replace"))
