"""kill -9 in the middle of runs: every accepted run ends, and none is executed or charged twice."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.common.ids import uuid7
from tests.gateway.servers import (
    Caller,
    GatewayServer,
    Keyring,
    RuntimeServer,
    ValkeyServer,
    read,
    running,
    until,
    usage_events,
    write_route,
)


class Stack:
    """Two gateways, a runtime and a Valkey of one test."""

    def __init__(self, folder: Path) -> None:
        self.valkey = ValkeyServer(folder)
        self.runtime = RuntimeServer(folder)
        self.other_runtime = RuntimeServer(folder, "other")
        self.keys = Keyring(folder / "jwks.json")
        self.first = GatewayServer(folder, self.valkey, self.keys, "first", GATEWAY_RUNTIME_DEADLINE="20")
        self.second = GatewayServer(folder, self.valkey, self.keys, "second", GATEWAY_RUNTIME_DEADLINE="20", GATEWAY_RESEND_WAIT="4")

    def caller(self, gateway: GatewayServer) -> Caller:
        return Caller(gateway, self.keys.token())

    def each_charged_once(self, run_ids: list[str]) -> None:
        events = usage_events(self.valkey)
        assert {run_id: len(events.get(run_id, [])) for run_id in run_ids} == dict.fromkeys(run_ids, 1)

    def each_executed_once(self, run_ids: list[str]) -> None:
        assert Counter(self.runtime.executions() + self.other_runtime.executions()) == Counter(run_ids)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path)
    with running(made.valkey, made.runtime):
        write_route(made.valkey, made.runtime)
        with running(made.first, made.second):
            yield made


def get_until_ended(caller: Caller, run_id: str) -> int:
    """Poll as a patient client does; return the status that ended it."""
    while True:
        with contextlib.suppress(ConnectionError):
            answer = caller.results(run_id)
            if answer.status != 202:
                return answer.status


def test_runs_of_a_killed_gateway_are_ended_by_the_other(stack: Stack) -> None:
    small = [stack.caller(stack.first).run({"hold": "a"}).json["uuid"] for _ in range(5)]
    large = [stack.caller(stack.first).run({"hold": "a", "pad": "x" * 100_000}).json["uuid"] for _ in range(5)]
    stack.first.kill()
    waiting = [stack.caller(stack.second).open("GET", f"/blur/api/results/{run_id}?advice=true&long=true") for run_id in small + large]
    until(lambda: "Took over" in stack.second.text(), "the adoption")
    stack.runtime.release("a")
    for connection in waiting:
        with connection:
            assert read(connection).status == 200
    stack.each_executed_once(small + large)
    stack.each_charged_once(small + large)


def test_runs_of_a_killed_gateway_are_ended_by_its_successor(stack: Stack) -> None:
    stack.second.kill()
    run_ids = [stack.caller(stack.first).run({"hold": "a", "pad": "x" * size}).json["uuid"] for size in (1, 100_000)]
    stack.first.kill()
    stack.first.start()
    stack.runtime.release("a")
    assert [get_until_ended(stack.caller(stack.first), run_id) for run_id in run_ids] == [200, 200]
    stack.each_executed_once(run_ids)
    stack.each_charged_once(run_ids)


def test_an_end_on_one_gateway_wakes_those_who_wait_on_another(stack: Stack) -> None:
    run_id = stack.caller(stack.first).run({"hold": "a"}).json["uuid"]
    with stack.caller(stack.second).open("GET", f"/blur/api/results/{run_id}?long=true&advice=true") as waiting:
        until(lambda: stack.valkey.client.scard(f"sw:run:{run_id}:waiting"), "the waiting gateway")
        stack.runtime.release("a")
        assert read(waiting).json["results"]


def test_a_killed_runtime_is_asked_again_after_its_restart(stack: Stack) -> None:
    caller = stack.caller(stack.first)
    run_ids = [caller.run({"hold": "a", "pad": "x" * size}).json["uuid"] for size in (1, 100_000)]
    waiting = [caller.open("GET", f"/blur/api/results/{run_id}?long=true") for run_id in run_ids]
    stack.runtime.kill()
    stack.runtime.start()
    stack.runtime.release("a")
    for connection in waiting:
        with connection:
            assert read(connection).status == 200
    stack.each_charged_once(run_ids)
    assert Counter(stack.runtime.executions()) == dict.fromkeys(run_ids, 2), "the runtime forgot them when it died"


def test_a_run_accepted_without_a_runtime_waits_for_one(stack: Stack) -> None:
    stack.runtime.kill()
    caller = stack.caller(stack.first)
    run_ids = [caller.run({"pad": "x" * size}).json["uuid"] for size in (1, 100_000)]
    stack.first.kill()
    stack.runtime.start()
    assert [get_until_ended(stack.caller(stack.second), run_id) for run_id in run_ids] == [200, 200]
    stack.each_executed_once(run_ids)


def test_a_request_that_nobody_checked_is_still_refused_when_it_is_no_json(stack: Stack) -> None:
    stack.runtime.kill()
    caller = stack.caller(stack.first)
    assert caller.ask("PUT", "/blur/api/run", b"{not json").json["code"] == "invalid_json"
    assert caller.ask("PUT", "/blur/api/run", b"[]").json["code"] == "invalid_request"
    assert not usage_events(stack.valkey)


def test_a_runtime_that_stays_away_ends_its_runs_as_failed(stack: Stack, tmp_path: Path) -> None:
    hasty = GatewayServer(tmp_path, stack.valkey, stack.keys, "hasty", GATEWAY_RUNTIME_DEADLINE="0.3")
    with running(hasty):
        caller = stack.caller(hasty)
        run_id = caller.run({"hold": "a"}).json["uuid"]
        stack.runtime.kill()
        failed = caller.results(run_id)
    assert failed.status == 520
    assert failed.json["code"] == "runtime_unavailable"
    assert "send the run again" in failed.json["message"]


def test_a_run_that_kills_its_runtime_every_time_ends_as_failed(stack: Stack) -> None:
    caller = stack.caller(stack.first)
    run_id = caller.run({"hold": "poison"}).json["uuid"]
    for life in range(1, 4):
        until(lambda life=life: len(stack.runtime.executions()) == life, "the execution")
        stack.runtime.kill()
        stack.runtime.start()
    failed = caller.results(run_id)
    assert (failed.status, failed.json["code"]) == (520, "runtime_died")


def test_new_runs_go_to_the_replica_that_lives(stack: Stack) -> None:
    with running(stack.other_runtime):
        write_route(stack.valkey, stack.runtime, stack.other_runtime)
        stack.runtime.kill()
        caller = stack.caller(stack.first)
        run_ids = [caller.run({}).json["uuid"] for _ in range(4)]
        assert [caller.results(run_id).status for run_id in run_ids] == [200] * 4
        stack.each_executed_once(run_ids)


def test_runs_spread_over_replicas(stack: Stack) -> None:
    with running(stack.other_runtime):
        write_route(stack.valkey, stack.runtime, stack.other_runtime)
        caller = stack.caller(stack.first)
        run_ids = [caller.run({"hold": "a"}).json["uuid"] for _ in range(6)]
        assert len(stack.runtime.executions()) == len(stack.other_runtime.executions()) == 3
        stack.runtime.release("a")
        stack.other_runtime.release("a")
        assert [caller.results(run_id).status for run_id in run_ids] == [200] * 6


def test_a_killed_gateway_and_runtime_cost_only_what_was_nowhere_else(stack: Stack) -> None:
    caller = stack.caller(stack.first)
    small = caller.run({"hold": "a"}).json["uuid"]
    large = caller.run({"hold": "a", "pad": "x" * 100_000}).json["uuid"]
    stack.first.kill()
    stack.runtime.kill()
    stack.runtime.start()
    stack.runtime.release("a")
    other = stack.caller(stack.second)
    assert get_until_ended(other, small) == 200
    assert get_until_ended(other, large) == 520
    assert other.results(large).json["code"] == "input_lost"


@pytest.mark.parametrize("taken_over", [False, True], ids=["before", "after"])
def test_a_request_sent_again_gives_a_run_the_input_that_died_with_its_gateway(stack: Stack, taken_over: bool) -> None:
    """The gateway dies when it has written the record and no runtime has read the whole input yet."""
    run_id, large = str(uuid7()), {"pad": "x" * 1_500_000}
    body = json.dumps({"inputs": [large], "outputs": [], "parameters": []}).encode()
    stack.runtime.pause()
    with stack.caller(stack.first).open("PUT", "/blur/api/run?advice=true", body, x_run_id=run_id):
        until(lambda: stack.valkey.client.exists(f"sw:run:{run_id}"), "the record")
        stack.first.kill()
    stack.runtime.resume()
    if taken_over:
        until(lambda: "Took over 1" in stack.second.text(), "the adoption")
    other = stack.caller(stack.second)
    assert other.run({"pad": "other"}, run_id=run_id).status == 409
    again = other.run(large, run_id=run_id)
    assert (again.status, again.json["uuid"]) == (200, run_id)
    assert get_until_ended(other, run_id) == 200
    stack.each_executed_once([run_id])
    stack.each_charged_once([run_id])


def test_a_stopping_gateway_answers_its_long_polls_and_hands_over(stack: Stack) -> None:
    caller = stack.caller(stack.first)
    stack.first.environment["GATEWAY_DRAIN_TIME"] = "0.1"
    stack.first.kill()
    stack.first.start()
    run_id = caller.run({"hold": "a"}).json["uuid"]
    with caller.open("GET", f"/blur/api/results/{run_id}?long=true&advice=true") as waiting:
        until(lambda: stack.valkey.client.exists(f"sw:run:{run_id}"), "the run")
        assert caller.ask("GET", "/healthz").status == 200
        assert stack.first.stop() == 0
        assert read(waiting).status == 202
    stack.runtime.release("a")
    assert get_until_ended(stack.caller(stack.second), run_id) == 200
    stack.each_executed_once([run_id])
