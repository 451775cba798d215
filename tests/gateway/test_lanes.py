"""Places at replicas: spread evenly, never too many, never one free while a run waits."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from gateway.lanes import MOST_AHEAD, Lanes
from gateway.line import Line, Waiter
from gateway.patience import Darkness, verdict_on
from gateway.routes import Reason, Route, RouteTable
from gateway.run import Outcome, Replica, Run, Verdict, Where
from gateway.settings import Settings

SETTINGS = Settings(redis_url="", waiting_memory=10_000_000)


def replicas(*workers: int) -> tuple[Replica, ...]:
    return tuple(Replica(f"r{number}", f"unix:/r{number}", count, number + 1) for number, count in enumerate(workers))


def made_route(*workers: int, status: str = "RUNNING", asleep: bool = False) -> Route:
    reason = Reason("x", "Because.")
    return Route("s", "d", "w", "p", "n", "x", status, replicas=replicas(*workers), asleep=asleep, reason=reason)


def made_run(name: str = "r") -> Run:
    route = made_route()
    return Run(id=name, about=route.about, about_json=b"", body=b"x", where=Where.RECORD, digest="", storage_token="", accepted_ms=0)


class Routes:
    """A route table of one route that a test changes."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self.changed = asyncio.Event()

    def peek(self, slug: str) -> Route:
        return self.route

    async def get(self, slug: str) -> Route:
        return self.route

    def forget(self, slug: str) -> None:
        pass

    async def wait_for_change(self, slug: str, limit: float) -> None:
        self.changed.clear()
        await self.changed.wait()

    def change(self, route: Route) -> None:
        self.route = route
        self.changed.set()


class Place:
    """Lanes on such a table."""

    def __init__(self, route: Route, settings: Settings = SETTINGS) -> None:
        self.routes = Routes(route)
        self.woken: list[str] = []
        self.lanes = Lanes(settings, cast("RouteTable", self.routes), on_moved=lambda run: None, on_cold=self.woken.append)

    def enter(self, name: str) -> Run:
        run = made_run(name)
        self.lanes.enter(run, self.routes.route)
        return run

    def take(self, run: Run, *, again: bool = False) -> asyncio.Task[Replica | Outcome | None]:
        return asyncio.ensure_future(self.lanes.take(run, again=again))

    def answered(self, run: Run) -> None:
        """Its replica took the run."""
        assert run.replica is not None
        self.lanes.note_answer(run, run.replica)


async def settled() -> None:
    """Let all that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def runner() -> None:
        asyncio.run(test())

    runner.__name__ = test.__name__
    return runner


@in_loop
async def test_runs_are_spread_by_what_replicas_have_for_their_workers() -> None:
    place = Place(made_route(5, 10, 15))
    seats = Counter(place.enter(str(number)).seat for number in range(30))
    assert seats == {"unix:/r0": 5, "unix:/r1": 10, "unix:/r2": 15}


@in_loop
async def test_many_gateways_do_not_all_choose_the_same_replica() -> None:
    random.seed(5)
    seats = Counter(Place(made_route(1, 1, 1, 1)).enter("only").seat for _ in range(400))
    assert len(seats) == 4
    assert min(seats.values()) > 70


@in_loop
async def test_a_replica_gets_two_runs_a_worker_and_of_short_ones_what_it_does_in_a_second() -> None:
    place = Place(made_route(2))
    assert [place.enter(str(number)).seat is not None for number in range(5)] == [True] * 4 + [False]
    place.lanes.note_pace(made_run(), 100.0)
    assert sum(place.enter(str(number)).seat is not None for number in range(30)) == 16
    place = Place(made_route(2))
    place.lanes.note_pace(made_run(), 0.5)
    assert sum(place.enter(str(number)).seat is not None for number in range(100)) == MOST_AHEAD


@in_loop
async def test_a_new_replica_takes_waiting_runs_in_order_and_one_that_left_takes_none() -> None:
    place = Place(made_route(1))
    first = [place.enter(name) for name in "ab"]
    waiting = [place.take(place.enter(name)) for name in "cdef"]
    await settled()
    old, new = place.routes.route.replicas[0], Replica("new", "unix:/new", 1)
    place.routes.change(Route("s", "d", "w", "p", "n", "x", "RUNNING", replicas=(new,)))
    await settled()
    assert [task.done() for task in waiting] == [True, True, False, False]
    place.lanes.release(first[0])
    assert place.enter("late").seat is None, "others wait already"
    place.routes.change(Route("s", "d", "w", "p", "n", "x", "RUNNING", replicas=(old, new)))
    await settled()
    assert waiting[2].result() is old
    assert not waiting[3].done()
    place.lanes.release(first[1])
    assert (await waiting[3]) is old


@in_loop
async def test_a_run_that_failed_goes_before_the_others_and_elsewhere() -> None:
    place = Place(made_route(1, 1))
    runs = [place.enter(str(number)) for number in range(4)]
    later = place.enter("waits")
    later.accepted_ms = 1
    waiting = place.take(later)
    await settled()
    lost = next(run for run in runs if run.seat == "unix:/r0")
    assert lost.replica is not None
    place.lanes.avoid(lost, lost.replica)
    place.lanes.release(lost)
    again = place.take(lost)
    await settled()
    next_free = next(run for run in runs if run.seat == "unix:/r1")
    place.lanes.release(next_free)
    assert (await again) == place.routes.route.replicas[1]
    assert not waiting.done()
    waiting.cancel()


@in_loop
async def test_runs_go_in_the_order_of_acceptance_whoever_accepted_them_and_however_often_they_were_sent_back() -> None:
    place = Place(made_route(1))
    seated = [place.enter(name) for name in "xy"]
    first, second = seated
    first.accepted_ms, second.accepted_ms = 1, 2
    given: list[str] = []
    tasks = []
    for accepted_ms in (50, 10, 40, 20, 30):
        run = made_run(str(accepted_ms))
        run.accepted_ms = accepted_ms
        tasks.append(place.take(run))
        tasks[-1].add_done_callback(lambda _, run=run: given.append(run.id))  # type: ignore[misc]
    await settled()

    for run in seated:
        assert run.replica is not None
        place.lanes.avoid(run, run.replica)
    for run in seated:
        place.lanes.release(run)
        tasks.append(place.take(run, again=False))
        tasks[-1].add_done_callback(lambda _, run=run: given.append(run.id))  # type: ignore[misc]
    await settled()
    assert given == []

    place.routes.change(made_route(50))
    place.lanes._avoid.clear()
    place.routes.changed.set()
    await settled()
    assert given == ["x", "y", "10", "20", "30", "40", "50"]


@in_loop
async def test_a_line_forgets_those_who_left_it_in_the_middle() -> None:
    line, loop = Line(), asyncio.get_running_loop()
    line.add(first := Waiter(made_run("first"), loop.create_future(), 1))
    for number in range(10_000):
        line.add(waiter := Waiter(made_run(str(number)), loop.create_future(), 1))
        assert line.remove(waiter)
        assert not line.remove(waiter)
    assert (len(line), list(line), len(line._order) < 200) == (1, [first], True)
    assert (line.pop(), line.pop()) == (first, None)


@in_loop
async def test_a_refused_run_leaves_nothing_behind() -> None:
    place = Place(made_route(), Settings(redis_url="", waiting_memory=20_000))
    held = place.take(run := made_run("held"))
    await settled()
    refused = made_run("refused")
    assert await place.lanes.take(refused, again=False) is None
    assert refused.admission is not None
    assert (refused.admission.verdict, refused.admission.code, refused.admission.retry_after) == (Verdict.BUSY, "too_many_waiting", 5)
    place.lanes.leave(run)
    with pytest.raises(asyncio.CancelledError):
        await held
    assert place.lanes._shares.used == 0


@in_loop
async def test_an_input_that_was_put_away_gives_its_room_to_others() -> None:
    place = Place(made_route(), Settings(redis_url="", waiting_memory=100_000))
    large = made_run("large")
    large.body = b"x" * 40_000
    tasks = [place.take(large)]
    await settled()
    assert place.lanes._shares.used == 48_192
    large.drop_body()
    place.lanes.note_smaller(large)
    assert place.lanes._shares.used == 8_192
    tasks += [place.take(made_run(str(number))) for number in range(5)]
    await settled()
    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await settled()
    assert place.lanes._shares.used == 0


@in_loop
async def test_a_run_in_the_way_to_its_place_gives_it_on_when_its_caller_leaves() -> None:
    place = Place(made_route(1))
    first, _ = place.enter("a"), place.enter("b")
    leaving, staying = made_run("leaving"), made_run("staying")
    tasks = [place.take(leaving), place.take(staying)]
    await settled()
    place.lanes.release(first)
    assert leaving.seat is not None
    tasks[0].cancel()
    place.lanes.leave(leaving)
    assert (await tasks[1]) is place.routes.route.replicas[0]


@pytest.mark.parametrize("seed", range(30))
def test_no_place_stays_free_while_a_run_waits(seed: int) -> None:
    """Any order of arrivals, ends, departures and changes of the route."""
    chance = random.Random(seed)

    async def scenario() -> None:
        place = Place(made_route(2))
        live: dict[str, tuple[Run, asyncio.Task[Replica | Outcome | None]]] = {}
        for number in range(200):
            act = chance.choice("eeerrlc")
            if act == "e":
                run = place.enter(str(number))
                live[run.id] = (run, place.take(run))
            elif act == "c":
                place.routes.change(made_route(*chance.choices((1, 2, 3), k=chance.randrange(4))))
            elif live:
                run, task = live.pop(chance.choice(sorted(live)))
                (place.lanes.release if act == "r" and run.seat else place.lanes.leave)(run)
                task.cancel()
            await settled()
            check(place, [run for run, _ in live.values()])
        for run, task in live.values():
            place.lanes.leave(run)
            task.cancel()
        await settled()
        assert place.lanes._shares.used == 0

    def check(place: Place, runs: list[Run]) -> None:
        given = Counter(run.seat for run in runs if run.seat)
        assert place.lanes._lane(made_run()).given == given
        waits = any(run.seat is None for run in runs)
        for replica in place.routes.route.replicas:
            assert not waits or given[replica.address] >= 2 * replica.workers

    asyncio.run(scenario())


def test_how_long_a_run_waits_depends_on_why() -> None:
    settings = Settings(redis_url="", cold_start_wait=300, runtime_deadline=30, run_timeout=1000)

    def code(route: Route | None, *, age: float, dark: float | None = None, cold: bool = False, ran_for: float = 0) -> str | None:
        """Of a run in line that was accepted `age` seconds ago, of which a replica worked on it for `ran_for`."""
        run = made_run()
        run.age, run.cold = age, cold
        run.replica = Replica("died", "unix:/died") if ran_for else None
        darkness = Darkness(None if dark is None else run.born - dark)
        ended = verdict_on(run, route, darkness, settings, run.born, since=run.born - age + ran_for)
        return None if ended is None else ended.content.split(b'"')[3].decode()

    asleep = made_route(asleep=True)
    assert code(asleep, age=299, dark=299, cold=True) is None
    assert code(asleep, age=301, dark=301, cold=True) == "cold_start_timeout"
    assert code(asleep, age=700, dark=1, cold=True, ran_for=600) is None, "its replica died after ten minutes: another one is started"
    assert code(asleep, age=901, dark=301, cold=True, ran_for=600) == "cold_start_timeout"
    assert code(made_route(status="ERROR"), age=1, cold=True) == "start_failed"
    assert code(made_route(1, status="ERROR"), age=31) is None, "the former version still serves"
    assert code(made_route(), age=29, dark=29) is None
    assert code(made_route(), age=31, dark=31) == "runtime_unavailable"
    assert code(None, age=31, dark=31) == "runtime_unavailable"
    assert code(made_route(1), age=999) is None, "it only waits for its turn"
    assert code(made_route(1), age=1001) == "run_timeout"


@in_loop
async def test_a_fault_while_looking_after_a_lane_stops_nobody_from_being_served() -> None:
    place = Place(made_route())
    faults = iter([RuntimeError("a fault of ours"), ValueError("another one")])

    def look(lane: object, route: object) -> None:
        for fault in faults:
            raise fault

    place.lanes._look = look  # type: ignore[method-assign]
    waiting = place.take(made_run())
    await settled()
    place.routes.change(made_route(1))
    assert isinstance(await asyncio.wait_for(waiting, 5), Replica)


@in_loop
async def test_a_gateway_that_may_have_lost_its_runs_gives_none_of_those_that_wait_away() -> None:
    place = Place(made_route(1))
    owns: list[bool] = []
    place.lanes._owns_runs = lambda: bool(owns)
    waiting = [place.take(place.enter(name)) for name in "abc"]
    await settled()
    place.routes.change(made_route(2))
    await settled()
    assert [task.done() for task in waiting] == [True, True, False], "new ones are nobody else's"
    owns.append(True)
    place.routes.change(made_route(2))
    assert isinstance(await waiting[2], Replica)


IMPATIENT = Settings(redis_url="", waiting_memory=10_000_000, runtime_deadline=0.05, cold_start_wait=60.0)


@in_loop
async def test_a_cold_start_longer_than_a_replica_may_be_silent_ends_no_run() -> None:
    place = Place(made_route(asleep=True), IMPATIENT)
    runs = [made_run(str(number)) for number in range(6)]
    tasks = [place.take(run) for run in runs]
    await settled()
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in tasks)

    place.routes.change(made_route(1))
    await settled()
    assert [task.done() for task in tasks] == [True, True, False, False, False, False]
    for run in runs[:2]:
        place.answered(run)
        place.lanes.release(run)
    await settled()

    assert all(isinstance(task.result(), Replica) for task in tasks[:4])
    for task in tasks[4:]:
        task.cancel()


@in_loop
async def test_a_replica_that_dies_ends_no_run_that_waits_for_one_that_works() -> None:
    place = Place(made_route(1, 1), IMPATIENT)
    seated = [place.enter(str(number)) for number in range(4)]
    for run in seated:
        assert run.replica is not None
    works = [run for run in seated if run.replica is not None and run.replica.id == "r0"]
    dies = [run for run in seated if run not in works]
    for run in works:
        place.answered(run)
    waiting = place.take(made_run("waits"))
    await settled()

    for run in dies:
        assert run.replica is not None
        place.lanes.avoid(run, run.replica)
    await asyncio.sleep(0.1)
    place.routes.change(made_route(1, 1))
    await settled()

    assert not waiting.done()
    place.lanes.release(works[0])
    await settled()
    assert isinstance(waiting.result(), Replica)
