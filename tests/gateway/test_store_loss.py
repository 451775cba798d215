"""Valkey dies, loses what it had acknowledged, or is emptied: every accepted run still ends, and its results can be read."""

from __future__ import annotations

from tests.gateway.servers import Caller, read, until, usage_events, write_route
from tests.gateway.test_kills import Stack, stack

__all__ = ["stack"]


def test_runs_in_flight_survive_a_valkey_that_lost_everything(stack: Stack) -> None:
    caller, other = stack.caller(stack.first), stack.caller(stack.second)
    run_ids = [caller.run({"hold": "a", "pad": "x" * size}).json["uuid"] for size in (1, 100_000)]
    waiting = [who.open("GET", f"/blur/api/results/{run_id}?long=true") for run_id in run_ids for who in (caller, other)]
    for run_id in run_ids:
        until(lambda run_id=run_id: stack.valkey.client.scard(f"sw:run:{run_id}:waiting"), "the waiting gateway")
    stack.valkey.lose_everything()
    write_route(stack.valkey, stack.runtime)
    stack.runtime.release("a")
    for connection in waiting:
        with connection:
            assert read(connection).status == 200
    stack.each_executed_once(run_ids)
    stack.each_charged_once(run_ids)


def test_runs_that_ended_a_moment_ago_survive_too(stack: Stack) -> None:
    caller, other = stack.caller(stack.first), stack.caller(stack.second)
    run_ids = [caller.run({"size": size}).json["uuid"] for size in (1, 100_000)]
    assert [caller.results(run_id).status for run_id in run_ids] == [200, 200]
    stack.valkey.lose_everything()
    write_route(stack.valkey, stack.runtime)
    assert [other.results(run_id).status for run_id in run_ids] == [200, 200]
    stack.each_charged_once(run_ids)


def test_emptying_valkey_in_the_middle_of_runs_loses_none(stack: Stack) -> None:
    caller, other = stack.caller(stack.first), stack.caller(stack.second)
    ended = caller.run({}).json["uuid"]
    assert caller.results(ended).status == 200
    run_id = caller.run({"hold": "a"}).json["uuid"]
    stack.valkey.client.flushall()
    write_route(stack.valkey, stack.runtime)
    with other.open("GET", f"/blur/api/results/{run_id}?long=true") as waiting:
        until(lambda: stack.valkey.client.scard(f"sw:run:{run_id}:waiting"), "the run to be written again")
        stack.runtime.release("a")
        assert read(waiting).status == 200
    assert other.results(ended).status == 200
    stack.each_charged_once([run_id, ended])


def test_requests_wait_for_a_valkey_that_comes_back(stack: Stack) -> None:
    caller = stack.caller(stack.first)
    first = caller.run({}).json["uuid"]
    stack.valkey.kill()
    body = b'{"inputs":[{}],"outputs":[],"parameters":[]}'
    with (
        caller.open("PUT", "/blur/api/run?advice=true", body) as put,
        stack.caller(stack.second).open("GET", f"/blur/api/results/{first}?long=true") as get,
    ):
        until(lambda: len(stack.runtime.executions()) == 2, "the execution")
        stack.valkey.start()
        second = read(put).json["uuid"]
        assert read(get).status == 200
    assert caller.results(second).status == 200
    stack.each_executed_once([first, second])
    stack.each_charged_once([first, second])


def test_a_gateway_without_valkey_is_not_ready(stack: Stack) -> None:
    stack.valkey.kill()
    until(lambda: Caller(stack.first).ask("GET", "/healthz").status == 503, "the probe to fail")
    stack.valkey.start()
    until(lambda: Caller(stack.first).ask("GET", "/healthz").status == 200, "the probe to succeed")


def test_unknown_runs_are_404_again_once_all_gateways_had_their_time(stack: Stack) -> None:
    stack.valkey.lose_everything()
    write_route(stack.valkey, stack.runtime)
    assert stack.caller(stack.first).results("01900000-0000-7000-8000-000000000000").status == 404
    assert not usage_events(stack.valkey)
