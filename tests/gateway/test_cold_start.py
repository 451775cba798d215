"""Runs for a deployment that sleeps: accepted, held until a replica is there, ended with a reason when none comes."""

from __future__ import annotations

import time
from collections.abc import Iterator

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
from tests.gateway.test_kills import Stack, get_until_ended, stack

__all__ = ["stack"]


def sleeping(valkey: ValkeyServer, slug: str) -> str:
    """Write the route of a deployment that sleeps; return its slug."""
    write_route(valkey, slug=slug, asleep=True)
    return slug


def is_called(valkey: ValkeyServer, slug: str) -> bool:
    return bool(valkey.client.sismember("sw:wake", f"deployment-{slug}"))


@pytest.mark.parametrize("size", [1, 100_000, 1_500_000])
def test_a_run_for_a_sleeping_deployment_is_accepted_and_ends_when_a_replica_is_there(
    caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer, size: int
) -> None:
    slug = sleeping(valkey, f"sleeps-{size}")
    accepted = caller.run({"pad": "x" * size}, slug=slug)
    assert (accepted.status, accepted.json["state"]) == (200, "PENDING")
    until(lambda: is_called(valkey, slug), "the call")
    run_id = accepted.json["uuid"]
    with caller.open("GET", f"/{slug}/api/results/{run_id}?advice=true&long=true") as waiting:
        write_route(valkey, runtime, slug=slug)
        assert read(waiting).status == 200
    assert [(event["state"], event["revision"], event["fault"]) for event in usage_events(valkey)[run_id]] == [("SUCCESS", "7", "")]


def test_a_deployment_is_called_again_as_long_as_runs_wait(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    slug = sleeping(valkey, "deaf")
    run_id = caller.run({}, slug=slug).json["uuid"]
    for _ in range(3):
        until(lambda: valkey.client.srem("sw:wake", f"deployment-{slug}"), "another call")
    write_route(valkey, runtime, slug=slug)
    assert caller.results(run_id, slug=slug).status == 200
    valkey.client.srem("sw:wake", f"deployment-{slug}")
    caller.run({}, slug="blur")
    assert not is_called(valkey, slug)


def test_its_callers_are_told_to_wait_for_the_end_whatever_former_runs_took(
    caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer
) -> None:
    slug = sleeping(valkey, "advice")
    run_id = caller.run({}, slug=slug).json["uuid"]
    held = caller.results(run_id, slug=slug, long=False)
    assert (held.status, held.json["eta"], held.json["next_poll_in"], held.json["next_poll_long"]) == (202, [None, None], 0, True)
    write_route(valkey, runtime, slug=slug)
    assert caller.results(run_id, slug=slug).status == 200
    assert caller.run({}, slug=slug).json["eta"] == [None, None], "the time of a cold start says nothing about the next run"


def test_a_start_that_fails_ends_the_runs_with_its_reason(caller: Caller, valkey: ValkeyServer) -> None:
    slug = sleeping(valkey, "broken")
    run_id = caller.run({}, slug=slug).json["uuid"]
    with caller.open("GET", f"/{slug}/api/results/{run_id}?advice=true&long=true") as waiting:
        write_route(valkey, slug=slug, status="ERROR", reason={"code": "no_capacity", "detail": "No machine is free. Try another region."})
        failed = read(waiting)
    assert (failed.status, failed.json["code"]) == (520, "start_failed")
    assert "No machine is free. Try another region." in failed.json["message"]
    assert [event["fault"] for event in usage_events(valkey)[run_id]] == ["1"]


def test_a_pause_ends_them_as_nobodys_fault(caller: Caller, valkey: ValkeyServer) -> None:
    slug = sleeping(valkey, "paused-asleep")
    run_id = caller.run({}, slug=slug).json["uuid"]
    write_route(valkey, slug=slug, status="PAUSED")
    failed = caller.results(run_id, slug=slug)
    assert (failed.status, failed.json["code"]) == (520, "deployment_paused")
    assert [(event["revision"], event["fault"]) for event in usage_events(valkey)[run_id]] == [("", "")]


def test_a_held_run_that_the_runtime_refuses_is_its_callers_fault(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    slug = sleeping(valkey, "refused")
    run_id = caller.run({"refuse": "no task 'blurr'"}, slug=slug).json["uuid"]
    assert caller.ask("PUT", f"/{slug}/api/run", b"{").json["code"] == "invalid_json"
    write_route(valkey, runtime, slug=slug)
    failed = caller.results(run_id, slug=slug)
    assert (failed.status, failed.json["message"]) == (520, "no task 'blurr'")
    assert [(event["revision"], event["fault"]) for event in usage_events(valkey)[run_id]] == [("7", "")]


def test_a_held_run_that_is_sent_again_is_the_same_run(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    slug, run_id = sleeping(valkey, "again"), str(uuid7())
    assert [caller.run({"n": 1}, slug=slug, run_id=run_id).status for _ in range(2)] == [200, 200]
    assert caller.run({"n": 2}, slug=slug, run_id=run_id).status == 409
    write_route(valkey, runtime, slug=slug)
    assert caller.results(run_id, slug=slug).status == 200
    assert runtime.executions().count(run_id) == 1


def test_the_workflow_is_known_while_the_deployment_sleeps(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    slug = "described"
    write_route(valkey, runtime, slug=slug)
    awake = caller.ask("GET", f"/{slug}/workflow")
    until(lambda: valkey.client.exists(f"sw:workflow:deployment-{slug}:v1"), "the copy for other gateways")
    sleeping(valkey, slug)
    until(lambda: is_called(valkey, slug) or caller.ask("GET", f"/{slug}/workflow").body != awake.body, "the call")
    assert caller.ask("GET", f"/{slug}/workflow").body == awake.body


def test_an_unknown_workflow_is_waited_for(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    slug = sleeping(valkey, "undescribed")
    with caller.open("GET", f"/{slug}/workflow") as waiting:
        until(lambda: is_called(valkey, slug), "the call")
        write_route(valkey, runtime, slug=slug)
        assert read(waiting).json["metadata"]["name"] == "fake"


@pytest.fixture(scope="module")
def strict(valkey: ValkeyServer, gateway: GatewayServer, keys: Keyring) -> Iterator[Caller]:
    """A gateway with little patience and little room."""
    settings = {"GATEWAY_COLD_START_WAIT": "0.2", "GATEWAY_WAITING_MEMORY": "100000", "GATEWAY_LONG_POLL": "0.2"}
    server = GatewayServer(keys.path.parent, valkey, keys, "strict", **settings)
    with running(server):
        yield Caller(server, keys.token())


def test_a_deployment_that_never_wakes_ends_its_runs(strict: Caller, valkey: ValkeyServer) -> None:
    slug = sleeping(valkey, "never")
    run_id = strict.run({}, slug=slug).json["uuid"]
    failed = until(lambda: (seen := strict.results(run_id, slug=slug)).status != 202 and seen, "the end")
    assert (failed.status, failed.json["code"]) == (520, "cold_start_timeout")
    assert "send the run again" in failed.json["message"]


def test_one_deployment_cannot_take_the_room_of_all(strict: Caller, valkey: ValkeyServer) -> None:
    slug, other = sleeping(valkey, "greedy"), sleeping(valkey, "modest")
    assert strict.run({"pad": "x" * 30_000}, slug=slug).status == 200
    events, records = usage_events(valkey), sorted(valkey.client.keys("sw:run:*"))
    refused = strict.run({"pad": "x" * 30_000}, slug=slug)
    assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (503, "too_many_waiting", "5")
    until(lambda: sorted(valkey.client.keys("sw:run:*")) == records, "the record to be gone")
    assert usage_events(valkey) == events
    assert strict.run({"pad": "x"}, slug=other).status == 200


def test_a_workflow_that_nobody_knows_is_not_waited_for_longer_than_a_poll(strict: Caller, valkey: ValkeyServer) -> None:
    refused = strict.ask("GET", f"/{sleeping(valkey, 'silent')}/workflow")
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")


def test_held_runs_survive_their_gateway_and_valkey(stack: Stack) -> None:
    sleeping(stack.valkey, "blur")
    caller = stack.caller(stack.first)
    run_ids = [caller.run({"pad": "x" * size}).json["uuid"] for size in (1, 100_000)]
    stack.first.kill()
    until(lambda: stack.valkey.client.srem("sw:wake", "deployment-blur") and "Took over 2" in stack.second.text(), "the adoption")
    stack.valkey.client.flushall()
    sleeping(stack.valkey, "blur")
    until(lambda: is_called(stack.valkey, "blur"), "the adopter's call")
    write_route(stack.valkey, stack.runtime)
    assert [get_until_ended(stack.caller(stack.second), run_id) for run_id in run_ids] == [200, 200]
    stack.each_executed_once(run_ids)
    stack.each_charged_once(run_ids)


def test_runs_of_a_dead_gateway_keep_their_turn_among_those_of_its_adopter(stack: Stack) -> None:
    sleeping(stack.valkey, "blur")
    gateways = [stack.first, stack.second] * 20
    run_ids = [stack.caller(gateway).run({"hold": "a"}).json["uuid"] for gateway in gateways]
    stack.first.kill()
    until(lambda: "Took over 20" in stack.second.text(), "the adoption")
    write_route(stack.valkey, stack.runtime)
    until(lambda: len(stack.runtime.executions()) == 4, "as many as the replica takes")
    assert set(stack.runtime.executions()) == set(run_ids[:4])
    stack.runtime.release("a")
    assert [get_until_ended(stack.caller(stack.second), run_id) for run_id in run_ids] == [200] * 40
    stack.each_executed_once(run_ids)


def test_runs_of_a_gateway_that_slept_are_given_to_one_replica_only(stack: Stack) -> None:
    """It is stopped for longer than its heartbeat lives while runs wait; then both it and their adopter have them."""
    sleeping(stack.valkey, "blur")
    run_ids = [stack.caller(stack.first).run({"n": number}).json["uuid"] for number in range(12)]
    stack.first.pause()
    until(lambda: "Took over 12" in stack.second.text(), "the adoption")
    stack.first.resume()
    until(lambda: "runs that another gateway has taken over" in stack.first.text(), "the first one to notice")
    waiting = stack.caller(stack.first).open("GET", f"/blur/api/results/{run_ids[0]}?long=true")
    stack.other_runtime.start()
    try:
        write_route(stack.valkey, stack.runtime, stack.other_runtime)
        with waiting:
            assert read(waiting).status == 200
        assert [get_until_ended(stack.caller(stack.first), run_id) for run_id in run_ids] == [200] * 12
        stack.each_executed_once(run_ids)
        stack.each_charged_once(run_ids)
    finally:
        stack.other_runtime.close()


def test_what_only_a_gateway_that_slept_has_is_handed_to_its_adopter(stack: Stack) -> None:
    """The runtime died with the other copy of the input before both; without one the run would be lost."""
    caller = stack.caller(stack.first)
    run_id = caller.run({"hold": "a", "pad": "x" * 100_000}).json["uuid"]
    sleeping(stack.valkey, "blur")
    stack.runtime.kill()
    until(lambda: is_called(stack.valkey, "blur"), "the run to wait for another replica")
    stack.first.pause()
    until(lambda: "Took over 1" in stack.second.text(), "the adoption")
    stack.first.resume()
    until(lambda: "another gateway has taken over" in stack.first.text(), "the first one to notice")
    until(lambda: stack.valkey.client.hget(f"sw:run:{run_id}", "kind") != b"copies", "the input")
    stack.runtime.start()
    write_route(stack.valkey, stack.runtime)
    stack.runtime.release("a")
    assert get_until_ended(stack.caller(stack.second), run_id) == 200
    stack.each_charged_once([run_id])


def test_a_gateway_that_ends_hands_held_runs_over_at_once(stack: Stack) -> None:
    sleeping(stack.valkey, "blur")
    run_ids = [stack.caller(stack.first).run({"n": number}).json["uuid"] for number in range(12)]
    began = time.monotonic()
    assert stack.first.stop() == 0
    assert time.monotonic() - began < 5, "no waiting for a replica that may take minutes"
    until(lambda: "Took over 12" in stack.second.text(), "the adoption")
    write_route(stack.valkey, stack.runtime)
    assert [get_until_ended(stack.caller(stack.second), run_id) for run_id in run_ids] == [200] * 12
    stack.each_executed_once(run_ids)
    stack.each_charged_once(run_ids)


def test_hundreds_of_held_runs_go_through_one_replica_in_order(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    slug = sleeping(valkey, "crowd")
    run_ids = [caller.run({}, slug=slug).json["uuid"] for _ in range(300)]
    write_route(valkey, runtime, slug=slug)
    assert caller.results(run_ids[-1], slug=slug).status == 200
    executed = [run_id for run_id in runtime.executions() if run_id in set(run_ids)]
    assert sorted(executed) == sorted(run_ids)
    assert all(abs(executed.index(run_id) - place) < 100 for place, run_id in enumerate(run_ids))
