"""Runs from their acceptance to their end: accepted once, ended once, through the death of any one process.

Order of things (docs/gateway.md has the whole picture): the record is written and the runtime asked at the same time; the caller is answered when
both said yes; the run is ended only after that answer was written, so that nobody is charged for a run that no caller knows of.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass

from controlplane.common.ids import uuid7
from gateway.advice import ENDED, Advice, Durations, advise, unknown_end
from gateway.background import Background
from gateway.budget import Budget, Reservation
from gateway.checks import check_deployment, check_envelope, check_same, digest_of, too_old_or_early
from gateway.demand import Demand
from gateway.driver import Driver
from gateway.ends import Ends
from gateway.errors import Busy, InvalidInput, NotFound, SlipwayError, StoreUnavailable, TooManyCalls, Unprocessable
from gateway.gate import Gate
from gateway.lanes import Lanes
from gateway.objects import Objects
from gateway.payloads import Payloads
from gateway.results import Results
from gateway.routes import Route, RouteTable
from gateway.run import Admission, Outcome, Run, State, Verdict, Where, failure, now_ms
from gateway.runtime_client import Runtimes
from gateway.settings import Settings
from gateway.store import DataLost, RunStore, Taken
from gateway.valkey import ReplyError

logger = logging.getLogger("gateway.runs")


@dataclass(frozen=True, slots=True)
class View:
    """A run as its caller may see it. `content`: the JSON of results, or of the error, of an ended run."""

    run_id: str
    state: State
    advice: Advice
    content: bytes = b""


class Runs:
    """All runs of this gateway process."""

    def __init__(self, settings: Settings, objects: Objects) -> None:
        self.settings = settings
        self.gateway = secrets.token_hex(8)
        self.objects = objects
        self.budget = Budget(settings.payload_memory)
        self.live: dict[str, Run] = {}
        self.ends = Ends(settings.result_memory)
        self.durations = Durations()
        self.runtimes = Runtimes(max_reply=settings.max_reply)
        self.crowding = 0.0
        self.draining = False
        self.settled_at = 0.0
        self.beat_at = float("inf")
        self.store: RunStore
        self.routes: RouteTable
        self.demand: Demand
        self.lanes: Lanes
        self.payloads: Payloads
        self.driver: Driver
        self.results: Results
        self._waiting: dict[str, Gate] = {}
        self._background = Background()
        self.in_background = self._background.start

    def attach(self, store: RunStore, routes: RouteTable) -> None:
        """Connect the parts that know each other."""
        self.store = store
        self.routes = routes
        self.results = Results(self.settings, store, self.objects, self.runtimes, self.ends, self.in_background)
        self.demand = Demand(store.valkey, self.gateway, self.live, self.in_background)
        self.lanes = Lanes(self.settings, routes, on_moved=self._note_move, on_cold=self.demand.wake, owns_runs=self.owns_runs)
        self.payloads = Payloads(self.settings, store, self.objects, self.runtimes, self.budget, self.lanes)
        self.driver = Driver(self.settings, self.lanes, self.runtimes, self.payloads)

    # Accepting

    async def accept(self, route: Route, body: bytes, reservation: Reservation, *, storage_token: str, run_id: str | None) -> View:
        """Accept a run, or find the one that was accepted with the same id before.

        The caller opens `answered` of the live run after it wrote its answer. Raises `Busy`, `Conflict`, `InvalidInput`, `Unprocessable`,
        `TooManyCalls`, `StoreUnavailable`; then no run exists.
        """
        run = self._new_run(route, body, reservation, storage_token, run_id or str(uuid7()))
        if run_id is not None:
            run.digest = await digest_of(body)
            if (known := self._find_here(run_id)) is not None:
                return await self._same_run(known, run)
            refused = too_old_or_early(run_id, self.settings, run.accepted_ms) or await self._too_many(route)
            # Another request with this id may have come while the run was counted.
            if (known := self._find_here(run_id)) is not None:
                return await self._same_run(known, run)
            if refused is not None:
                return await self._known_or_refused(run, refused)
        elif (refused := await self._too_many(route)) is not None:
            raise refused
        self.demand.note(route.deployment)
        self.lanes.enter(run, route)
        recorded_at = run.replica
        run.where = Where.RECORD if len(body) <= self.settings.inline_payload else Where.COPIES
        self.live[run.id] = run
        try:
            if run_id is not None and (taken := await self.store.accept(run)) is not None:
                self._drop(run)
                return await self._taken(taken, run)
            run.task = asyncio.create_task(self._bring_to_end(run))
            if run_id is None:
                await self.store.accept(run)
            run.recorded = True
            if run.replica is not recorded_at:
                self._note_move(run)
            await self._await_admission(run)
        except BaseException:
            await self._abandon(run)
            raise
        return View(run.id, State.PENDING, self._advise_on(run))

    async def _too_many(self, route: Route) -> TooManyCalls | None:
        """Count the run where the workspace's plan has a limit, and return why it cannot start now. Asked before anything else knows of the run."""
        limit = route.calls_a_minute
        if limit is None:
            return None
        wait_ms = await self.store.count_call(route.workspace, limit)
        return TooManyCalls(limit, plan=route.plan, retry_after=max(1, -(-wait_ms // 1000))) if wait_ms else None

    def _new_run(self, route: Route, body: bytes, reservation: Reservation, storage_token: str, run_id: str) -> Run:
        return Run(
            id=run_id,
            about=route.about,
            about_json=route.about_json,
            body=body,
            where=Where.RECORD,
            digest="",
            storage_token=storage_token,
            accepted_ms=now_ms(),
            reservation=reservation,
        )

    def _find_here(self, run_id: str) -> Run | None:
        if (run := self.live.get(run_id)) is not None:
            return run
        ended = self.ends.get(run_id)
        return ended[0] if ended else None

    async def _same_run(self, known: Run, asked: Run) -> View:
        try:
            check_same(known.about.deployment, known.digest, asked)
            known.charge = True
            if known.only_there and known.outcome is None:
                await self.payloads.supply(asked)
        finally:
            asked.release_memory()
        state = known.outcome.state if known.outcome and known.done.is_open else State.PENDING
        return View(known.id, state, self._advise_on(known))

    async def _known_or_refused(self, asked: Run, refused: SlipwayError) -> View:
        """An id of another time, or past the plan's limit, begins no run, but is the run that it has begun."""
        try:
            taken = await self.store.accept(asked, refused=refused)
            return await self._taken(taken or Taken(asked.about, asked.digest), asked)
        finally:
            asked.release_memory()

    async def _taken(self, taken: Taken, asked: Run) -> View:
        check_same(taken.about.deployment, taken.digest, asked)
        try:
            seen = await self.store.look(asked.id, wait=False)
        except DataLost:
            seen = None
        if seen is None or seen.state is State.PENDING:
            await self.payloads.supply(asked)
            # Had it become this gateway's in the moment when its id was held by the second request, nobody would drive it.
            if (own := await self.store.read_own(asked.id)) is not None:
                self.adopt(own)
            return View(asked.id, State.PENDING, self._advise(taken.about.deployment, 0.0))
        return View(asked.id, seen.state, ENDED)

    async def _await_admission(self, run: Run) -> None:
        """Wait for the runtime's first word; without one put the payload where it is safe."""
        if not run.admitted.is_open:
            await run.admitted.wait(self.settings.receipt_wait)
        admission = run.admit(Admission(Verdict.DEFERRED))
        if admission.verdict is Verdict.BUSY:
            raise Busy(admission.code, admission.detail, retry_after=admission.retry_after)
        if admission.verdict is Verdict.REFUSED:
            kind = InvalidInput if admission.status == 400 else Unprocessable
            raise kind(admission.code, admission.detail)
        if admission.verdict is Verdict.DEFERRED:
            check_envelope(run.body)
            if run.where is Where.COPIES:
                await self.payloads.put_away(run)

    async def _abandon(self, run: Run) -> None:
        """The caller is told that there is no run: make that true. What cannot be removed now is never charged."""
        if run.task is not None:
            run.task.cancel()
        if run.recorded:
            self.in_background(self.store.discard(run))
        self._drop(run)

    def _drop(self, run: Run) -> None:
        if self.live.get(run.id) is run:
            del self.live[run.id]
        self.lanes.leave(run)
        run.release_memory()
        run.done.open()

    def answer_written(self, run_id: str, *, written: bool) -> None:
        """The request that made a run was answered (or its caller went away): now the run may end."""
        run = self.live.get(run_id)
        if run is not None and not run.adopted:
            run.charge = run.charge or written
            run.answered.open()

    # Ending

    def adopt(self, run: Run) -> None:
        """Take over a run whose gateway died."""
        if run.id in self.live:
            return
        run.answered.open()
        run.admit(Admission(Verdict.DEFERRED))
        self.payloads.count(run)
        self.live[run.id] = run
        run.task = asyncio.create_task(self._bring_to_end(run))

    def owns_runs(self) -> bool:
        """Tell whether the runs that wait here are surely not another gateway's: this process told within its heartbeat's life that it lives.

        While Valkey is away nobody takes anything over.
        """
        late = asyncio.get_running_loop().time() - self.beat_at > self.settings.heartbeat_ttl
        return not (late and self.store.valkey.connected)

    def leave_to_others(self, runs: list[Run]) -> None:
        """Other gateways took these runs over while this process slept. Those that still wait here must not be given to a replica twice."""
        waiting = [run for run in runs if self.lanes.waits(run)]
        if waiting:
            logger.warning("Leaving %d runs that another gateway has taken over", len(waiting))
        for run in waiting:
            if run.task is not None:
                run.task.cancel()
            self._drop(run)
            self.in_background(self._hand_over(run))

    async def _hand_over(self, run: Run) -> None:
        """Tell the record what only this process knows: the input, if no other copy is left, and that the caller was answered."""
        if run.where is Where.COPIES and run.body:
            await self.payloads.supply(run)
        if run.charge:
            await self.store.note_known(run)

    def leave_all(self) -> None:
        """This process ends: from now on its runs are other gateways'."""
        for run in self.live.values():
            if run.task is not None:
                run.task.cancel()

    async def _bring_to_end(self, run: Run) -> None:
        try:
            outcome = await self.driver.drive(run)
        except Exception:
            logger.exception("Run %s failed in the gateway", run.id)
            outcome = failure("internal_error", "The gateway failed to carry out this run. Send it again.")
        if outcome is not None:
            await run.answered.wait()
            await self._finish(run, await self._place(run, outcome))

    async def _place(self, run: Run, outcome: Outcome) -> Outcome:
        try:
            return await self.results.place(run, outcome)
        except Exception:
            logger.exception("The results of run %s cannot be placed", run.id)
            return failure("internal_error", "The gateway failed to store the results of this run. Send it again.")

    async def _finish(self, run: Run, outcome: Outcome) -> None:
        while True:
            charged = run.charge
            try:
                ended_here = await self.store.finish(run, outcome)
            except (StoreUnavailable, ReplyError) as error:
                logger.warning("Run %s has ended but cannot be written yet: %s", run.id, error)
                await asyncio.sleep(0.5)
            except Exception:
                logger.exception("Run %s has ended but cannot be written; trying again", run.id)
                await asyncio.sleep(5)
            else:
                break
        run.outcome = outcome
        run.body = b""
        if ended_here and charged:
            self.ends.add(run, outcome)
        if outcome.state is State.SUCCESS and not run.cold:
            self.durations.add(run.about.deployment, run.elapsed * 1000)
        self._drop(run)
        if ended_here:
            self.results.secure(run.id, outcome)
        if run.where is Where.OBJECT:
            self.in_background(self.objects.delete(run.payload_key))

    def _note_move(self, run: Run) -> None:
        if run.recorded:
            self.in_background(self.store.move(run))

    # Looking

    async def look(self, run_id: str, deployment: str, *, hold: float) -> View:
        """Return a run of a deployment, waiting at most `hold` seconds for its end. Raises `NotFound`, `StoreUnavailable`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + hold
        while True:
            left = 0.0 if self.draining else deadline - loop.time()
            run = self.live.get(run_id)
            if run is not None:
                check_deployment(run.about.deployment, deployment)
                run.charge = run.charge or run.adopted
                if left <= 0:
                    return View(run_id, State.PENDING, self._advise_on(run))
                await run.done.wait(left)
                continue
            if (ended := self.ends.get(run_id)) is not None:
                check_deployment(ended[0].about.deployment, deployment)
                return View(run_id, ended[1].state, ENDED, ended[1].content)
            view = await self._look_in_store(run_id, deployment, left)
            if view is not None:
                return view

    async def _look_in_store(self, run_id: str, deployment: str, left: float) -> View | None:
        """Read the record; None: something happened meanwhile, look again."""
        gate = self._waiting.setdefault(run_id, Gate())
        gate.users += 1
        try:
            try:
                seen = await self.store.look(run_id, wait=left > 0)
            except DataLost:
                self.unsettle()
                seen = None
            if seen is None:
                await self._wait_if_unsettled(gate)
                return None
            check_deployment(seen.about.deployment, deployment)
            if seen.state is not State.PENDING:
                found = await self.results.find(run_id, seen)
                return None if found is None else View(run_id, found[0], ENDED, found[1])
            if left <= 0:
                return View(run_id, State.PENDING, self._advise(deployment, max(0, now_ms() - seen.accepted_ms) / 1000))
            await gate.wait(left)
            return None
        finally:
            gate.users -= 1
            if not gate.users and self._waiting.get(run_id) is gate:
                del self._waiting[run_id]

    async def _wait_if_unsettled(self, gate: Gate) -> None:
        """There is no such record. After Valkey lost data, wait until all gateways have written their live runs again."""
        left = self.settled_at - asyncio.get_running_loop().time()
        if left <= 0 or self.draining:
            raise NotFound("run_unknown", "There is no run with this id, or its results are older than an hour.")
        await gate.wait(min(left, 0.2))

    def unsettle(self) -> None:
        """Valkey may have lost records: for a while no run is called unknown, until all gateways have written theirs again."""
        self.settled_at = asyncio.get_running_loop().time() + self.settings.settle_time

    def wake(self, run_id: str) -> None:
        """Another gateway ended a run that somebody here waits for."""
        if (gate := self._waiting.pop(run_id, None)) is not None:
            gate.open()

    def wake_all(self) -> None:
        """Wake-ups may have been missed: let everybody look again."""
        for run_id in list(self._waiting):
            self.wake(run_id)

    def drain(self) -> None:
        """Answer all who wait now: this process will end."""
        self.draining = True
        self.wake_all()
        for run in self.live.values():
            run.done.poke()

    async def wait_until_idle(self, limit: float) -> None:
        """Wait at most `limit` seconds for all live runs to end; others hold those that wait for a sleeping deployment as well as this one."""
        deadline = asyncio.get_running_loop().time() + limit
        for run in list(self.live.values()):
            if run.cold and run.seat is None:
                continue
            await run.done.wait(max(0.0, deadline - asyncio.get_running_loop().time()))

    async def finish_background(self) -> None:
        """Make the lasting copies of results that are missing, and whatever else goes on behind."""
        await self.results.drain()
        await self._background.finish(self.settings.drain_time)

    def _advise_on(self, run: Run) -> Advice:
        if run.seat is None and run.cold:
            return unknown_end(self.crowding)
        return self._advise(run.about.deployment, run.elapsed)

    def _advise(self, deployment: str, elapsed: float) -> Advice:
        return advise(self.durations.recent(deployment), elapsed * 1000, self.crowding)
