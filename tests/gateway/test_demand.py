"""What the control plane learns of each deployment's load, and that it learns nothing when nothing runs."""

from __future__ import annotations

import asyncio
import time
from typing import cast

import pytest

from gateway.demand import Demand
from gateway.valkey import Valkey
from tests.gateway.servers import Caller, RuntimeServer, ValkeyServer, until, write_route


def load(valkey: ValkeyServer, slug: str) -> tuple[int, int, int] | None:
    """Return what the only gateway told: runs in flight, the time of the last request, the time of the report (ms since 1970)."""
    told = cast("list[bytes]", valkey.client.hvals(f"sw:load:deployment-{slug}"))
    if not told:
        return None
    running, last, reported = (int(part) for part in told[0].split(b":"))
    return running, last, reported


def in_flight(valkey: ValkeyServer, slug: str) -> int | None:
    told = load(valkey, slug)
    return None if told is None else told[0]


def test_the_load_of_a_deployment_is_told_until_it_is_idle(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    write_route(valkey, runtime, slug="loaded")
    before = time.time() * 1000
    run_ids = [caller.run({"hold": "load"}, slug="loaded").json["uuid"] for _ in range(7)]
    until(lambda: in_flight(valkey, "loaded") == 7, "the load, waiting runs included")
    _, last, reported = load(valkey, "loaded") or (0, 0, 0)
    assert before <= last <= reported
    assert 0 < valkey.client.ttl("sw:load:deployment-loaded") <= 60
    assert cast("float", valkey.client.zscore("sw:active", "deployment-loaded")) >= reported
    until(lambda: (load(valkey, "loaded") or (0, 0, 0))[2] > reported, "the next report, without another request")
    runtime.release("load")
    assert [caller.results(run_id, slug="loaded").status for run_id in run_ids] == [200] * 7
    until(lambda: in_flight(valkey, "loaded") == 0, "the last report")
    said = load(valkey, "loaded")
    caller.run({}, slug="blur")
    until(lambda: in_flight(valkey, "blur") == 0, "a later report of another deployment")
    assert load(valkey, "loaded") == said


def test_the_load_is_told_again_when_valkey_lost_it(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    write_route(valkey, runtime, slug="emptied")
    run_id = caller.run({"hold": "emptied"}, slug="emptied").json["uuid"]
    until(lambda: in_flight(valkey, "emptied") == 1, "the load")
    valkey.client.flushall()
    write_route(valkey, runtime, slug="emptied")
    write_route(valkey, runtime)
    until(lambda: in_flight(valkey, "emptied") == 1, "the load again")
    runtime.release("emptied")
    assert caller.results(run_id, slug="emptied").status == 200


def test_a_fault_of_ours_does_not_end_the_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        reports: list[int] = []
        enough = asyncio.Event()

        async def report() -> None:
            reports.append(1)
            if len(reports) == 3:
                enough.set()
            raise RuntimeError("a fault of ours")

        demand = Demand(cast("Valkey", None), "gateway", {}, lambda work: None)
        monkeypatch.setattr(demand, "report", report)
        demand.start()
        await enough.wait()
        await demand.stop()

    monkeypatch.setattr("gateway.demand.REPORT_EVERY", 0.0)
    asyncio.run(asyncio.wait_for(scenario(), 5))


def test_a_refused_run_counts_as_a_request(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    write_route(valkey, runtime, slug="refusing")
    assert caller.run({"refuse": "no such task"}, slug="refusing").status == 422
    until(lambda: in_flight(valkey, "refusing") == 0, "the report")
