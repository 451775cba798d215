"""What one attempt to run a run finds out, and for whom that counts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.driver import Driver, _Trouble
from gateway.run import Admission, Replica, Run, Verdict, Where
from gateway.runtime_client import Exchange, Reply
from tests.gateway.test_lanes import SETTINGS, Place, in_loop, made_route, made_run, settled


class Pool:
    """A runtime that answers every request alike."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[str] = []

    async def send(self, method: str, path: str, body: bytes = b"", *, token: str = "") -> Exchange:
        self.asked.append(method)
        exchange = Exchange(asyncio.get_running_loop())
        exchange.started.set_result(self.status)
        exchange.ended.set_result(Reply(self.status, b"{}"))
        return exchange


def made_driver(place: Place, pool: Pool) -> Driver:
    return Driver(SETTINGS, place.lanes, cast("Any", SimpleNamespace(pool=lambda address: pool)), cast("Any", None))


@pytest.mark.parametrize("where", [Where.RECORD, Where.OBJECT])
def test_a_run_that_a_replica_that_left_does_not_know_goes_elsewhere_and_the_others_stay(where: Where) -> None:
    @in_loop
    async def scenario() -> None:
        place, pool, left = Place(made_route(1)), Pool(404), Replica("left", "unix:/left")
        unknown, known = made_run("unknown"), made_run("known")
        unknown.where = where
        unknown.body = b"" if where is Where.OBJECT else b"x"
        unknown.replica = known.replica = left

        assert await place.lanes.take(unknown, again=False) is left
        assert await made_driver(place, pool)._attempt(unknown, left, _Trouble()) is False
        place.lanes.release(unknown)

        assert pool.asked == ["GET"], "it is given nothing"
        assert await place.lanes.take(unknown, again=True) in place.routes.route.replicas
        assert await place.lanes.take(known, again=False) is left

    scenario()


@in_loop
async def test_nobody_is_kept_from_a_replica_by_a_run_whose_input_is_lost() -> None:
    """Its caller may send it again within seconds; others take its place meanwhile."""
    place, asked_again = Place(made_route(1)), asyncio.Event()

    async def fetch(run: Run, replica: Replica) -> None: ...

    async def await_again(run: Run) -> bool:
        await asked_again.wait()
        return False

    payloads = cast("Any", SimpleNamespace(fetch=fetch, await_again=await_again))
    driver = Driver(SETTINGS, place.lanes, cast("Any", SimpleNamespace(pool=lambda address: Pool(404))), payloads)
    lost = [made_run(str(number)) for number in range(2)]
    for run in lost:
        run.where, run.body = Where.COPIES, b""
        run.admit(Admission(Verdict.DEFERRED))
    driven = [asyncio.ensure_future(driver.drive(run)) for run in lost]
    await settled()

    other = place.enter("other")

    assert other.seat is not None
    asked_again.set()
    outcomes = [await ended for ended in driven]
    assert [outcome.content.split(b'"')[3] for outcome in outcomes if outcome] == [b"input_lost"] * 2
