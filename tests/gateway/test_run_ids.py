"""A caller may name its run: the same id again is the same run."""

from __future__ import annotations

from controlplane.common.ids import uuid7
from tests.gateway.servers import Caller, RuntimeServer, ValkeyServer, usage_events, write_route
from tests.gateway.test_kills import Stack, stack

__all__ = ["stack"]


def test_the_same_id_again_is_the_same_run(caller: Caller, runtime: RuntimeServer, valkey: ValkeyServer) -> None:
    run_id = str(uuid7())
    assert caller.run({"hold": "same"}, run_id=run_id).json["uuid"] == run_id
    assert caller.run({"hold": "same"}, run_id=run_id).json["uuid"] == run_id
    runtime.release("same")
    assert caller.results(run_id).status == 200
    after = caller.run({"hold": "same"}, run_id=run_id)
    assert (after.status, after.json["state"]) == (200, "SUCCESS")
    assert runtime.executions().count(run_id) == 1
    assert len(usage_events(valkey)[run_id]) == 1


def test_the_same_id_with_another_body_is_refused(caller: Caller, runtime: RuntimeServer) -> None:
    run_id = str(uuid7())
    assert caller.run({}, run_id=run_id).status == 200
    refused = caller.run({"other": 1}, run_id=run_id)
    assert (refused.status, refused.json["code"]) == (409, "run_id_reused")
    assert runtime.executions().count(run_id) == 1


def test_the_same_id_at_another_endpoint_is_refused(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    write_route(valkey, runtime, slug="elsewhere")
    run_id = str(uuid7())
    assert caller.run({}, run_id=run_id).status == 200
    assert caller.run({}, run_id=run_id, slug="elsewhere").status == 409


def test_an_id_that_the_gateway_made_cannot_be_used_again(caller: Caller) -> None:
    run_id = caller.run({}).json["uuid"]
    assert caller.run({}, run_id=run_id).status == 409


def test_an_id_must_be_a_uuid_of_version_7(caller: Caller) -> None:
    for wrong in ("abc", "00000000-0000-4000-8000-000000000000"):
        refused = caller.run({}, run_id=wrong)
        assert (refused.status, refused.json["code"]) == (400, "invalid_run_id")


def test_a_retry_at_another_gateway_is_the_same_run(stack: Stack) -> None:
    run_id = str(uuid7())
    caller, other = stack.caller(stack.first), stack.caller(stack.second)
    assert caller.run({"hold": "a"}, run_id=run_id).status == 200
    assert other.run({"hold": "a"}, run_id=run_id).json["uuid"] == run_id
    assert other.run({"hold": "b"}, run_id=run_id).status == 409
    stack.first.kill()
    assert other.run({"hold": "a"}, run_id=run_id).status == 200
    stack.runtime.release("a")
    while (answer := other.results(run_id)).status == 202:
        pass
    assert answer.status == 200
    stack.each_executed_once([run_id])
    stack.each_charged_once([run_id])
