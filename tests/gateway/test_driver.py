"""What one attempt to run a run finds out, and for whom that counts."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.driver import Driver, _Trouble
from gateway.run import Replica, Where
from gateway.runtime_client import Exchange, Reply
from tests.gateway.test_lanes import SETTINGS, Place, in_loop, made_route, made_run


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
