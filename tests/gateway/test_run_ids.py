"""A caller may name its run: the same id again is the same run."""

from __future__ import annotations

import time

import pytest

from controlplane.common.ids import uuid7
from gateway.settings import Settings
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


MINUTE = 60_000


def id_made(minutes: float) -> str:
    """Return an id whose time is so many minutes from now."""
    return str(uuid7(now_ms=int(time.time() * 1000 + minutes * MINUTE)))


@pytest.mark.parametrize(
    ("minutes", "code"), [(-31, "run_id_expired"), (-600_000, "run_id_expired"), (16, "run_id_early"), (600_000, "run_id_early")]
)
def test_an_id_of_another_time_begins_no_run(caller: Caller, runtime: RuntimeServer, valkey: ValkeyServer, minutes: int, code: str) -> None:
    run_id, executed, events = id_made(minutes), runtime.executions(), usage_events(valkey)
    refused = caller.run({}, run_id=run_id)
    assert (refused.status, refused.json["code"]) == (400, code)
    assert "new UUIDv7" in refused.json["detail"]
    assert (runtime.executions(), usage_events(valkey), valkey.client.exists(f"sw:run:{run_id}")) == (executed, events, 0)
    assert caller.results(run_id).status == 404


@pytest.mark.parametrize("minutes", [-29, 14])
def test_the_clock_of_a_caller_may_be_wrong_by_minutes(caller: Caller, minutes: int) -> None:
    run_id = id_made(minutes)
    assert caller.run({}, run_id=run_id).json["uuid"] == run_id
    assert caller.results(run_id).status == 200


def test_an_old_id_is_still_its_run_as_long_as_that_is_known(caller: Caller, runtime: RuntimeServer, valkey: ValkeyServer) -> None:
    """A run may wait and work for longer than an id can begin one."""
    run_id, old = str(uuid7()), id_made(-300)
    assert caller.run({"n": 1}, run_id=run_id).status == 200
    assert caller.results(run_id).status == 200
    valkey.client.rename(f"sw:run:{run_id}", f"sw:run:{old}")
    again = caller.run({"n": 1}, run_id=old)
    assert (again.status, again.json["state"]) == (200, "SUCCESS")
    assert caller.run({"n": 2}, run_id=old).json["code"] == "run_id_reused"
    assert old not in runtime.executions()


def test_an_id_can_begin_a_run_for_a_shorter_time_than_that_is_known() -> None:
    settings = Settings(redis_url="")
    assert settings.run_id_past + settings.run_id_ahead < settings.result_ttl


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
