"""Runs that a workspace may start in a minute: counted over all its endpoints and all gateways, refused with what lifts it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from controlplane.common.ids import uuid7
from tests.gateway.servers import (
    Caller,
    GatewayServer,
    Keyring,
    Response,
    RuntimeServer,
    ValkeyServer,
    running,
    until,
    usage_events,
    write_route,
)

COUNTER = "sw:calls:workspace-1"


@pytest.fixture(autouse=True)
def fresh_minute(valkey: ValkeyServer) -> Iterator[None]:
    """Begin each test, and what comes after the last one, with nothing counted and no limit."""
    valkey.client.delete(COUNTER)
    yield
    valkey.client.delete(COUNTER)


def limited(valkey: ValkeyServer, runtime: RuntimeServer, gateway: GatewayServer, limit: int | None, *slugs: str, **more: str) -> None:
    """Give endpoints of one workspace a limit, as the control plane does, and let the word reach the gateway."""
    for slug in slugs or ("blur",):
        write_route(valkey, runtime, slug=slug, workspace="workspace-1", calls_a_minute=limit, **more)
    time.sleep(0.2)


def statuses(answers: list[Response]) -> list[int]:
    return [answer.status for answer in answers]


@pytest.fixture
def limit(valkey: ValkeyServer, runtime: RuntimeServer, gateway: GatewayServer) -> int:
    """Three runs a minute."""
    limited(valkey, runtime, gateway, 3)
    return 3


def test_runs_beyond_the_limit_are_refused_with_when_and_what_lifts_it(caller: Caller, valkey: ValkeyServer, limit: int) -> None:
    before = len(usage_events(valkey))
    accepted = [caller.run({}) for _ in range(limit)]
    refused = caller.run({})

    assert statuses(accepted) == [200] * limit
    assert refused.status == 429
    assert refused.json["code"] == "calls_limit_reached"
    seconds = int(refused.headers["retry-after"])
    assert 1 <= seconds <= 60
    assert refused.json["fields"] == {"calls_a_minute": 3, "retry_after": seconds}
    assert "allows 3 runs a minute over all its endpoints" in refused.json["detail"]
    assert "A plan that allows more lifts the limit" in refused.json["detail"]
    until(lambda: len(usage_events(valkey)) == before + limit, "the usage of what was accepted, and of nothing else")


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ("Free", "The plan Free of this workspace allows 1 runs a minute"),
        ("", "Without a plan this workspace may start 1 runs a minute"),
        (None, "The plan of this workspace allows 1 runs a minute"),
    ],
    ids=["named", "none", "not told"],
)
def test_the_refusal_names_the_plan_that_limits(
    caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer, gateway: GatewayServer, plan: str | None, sentence: str
) -> None:
    limited(valkey, runtime, gateway, 1, **({} if plan is None else {"plan": plan}))

    told = [caller.run({}) for _ in range(2)][1].json

    assert told["detail"].startswith(f"{sentence} over all its endpoints. Send this run again in ")
    assert told["detail"].endswith("A plan that allows more lifts the limit at once: its owner can change it in the billing settings.")


def test_polls_results_and_refused_runs_are_not_counted(caller: Caller, valkey: ValkeyServer, limit: int) -> None:
    run_id = caller.run({}).json["uuid"]
    for _ in range(10):
        assert caller.results(run_id).status == 200
        assert caller.results(run_id, long=False).status == 200
    assert valkey.client.get(COUNTER) == b"1"

    assert statuses([caller.run({}) for _ in range(6)]) == [200, 200, 429, 429, 429, 429]
    assert valkey.client.get(COUNTER) == b"3"


def test_the_next_minute_begins_anew(caller: Caller, valkey: ValkeyServer, limit: int) -> None:
    assert statuses([caller.run({}) for _ in range(4)]) == [200, 200, 200, 429]
    assert 0 < valkey.client.pttl(COUNTER) <= 60_000

    valkey.client.pexpire(COUNTER, 1)
    until(lambda: not valkey.client.exists(COUNTER), "the end of the minute")

    assert caller.run({}).status == 200


def test_all_endpoints_and_gateways_of_a_workspace_count_together(
    caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer, gateway: GatewayServer, keys: Keyring
) -> None:
    limited(valkey, runtime, gateway, 7, "blur", "edges")
    other = GatewayServer(keys.path.parent, valkey, keys, "other")
    with running(other):
        ways = [(Caller(one, keys.token()), slug) for one in (gateway, other) for slug in ("blur", "edges")]
        with ThreadPoolExecutor(20) as pool:
            found = list(pool.map(lambda number: ways[number % 4][0].run({}, slug=ways[number % 4][1]).status, range(60)))

    assert (found.count(200), found.count(429)) == (7, 53)


def test_workspaces_do_not_share_a_limit(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer, gateway: GatewayServer) -> None:
    limited(valkey, runtime, gateway, 1)
    write_route(valkey, runtime, slug="edges", workspace="workspace-2", calls_a_minute=1)
    valkey.client.delete("sw:calls:workspace-2")

    assert statuses([caller.run({}), caller.run({}), caller.run({}, slug="edges")]) == [200, 429, 200]


def test_without_a_limit_nothing_is_counted(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer, gateway: GatewayServer) -> None:
    limited(valkey, runtime, gateway, None)
    assert statuses([caller.run({}) for _ in range(5)]) == [200] * 5
    # As routes were before there were limits.
    write_route(valkey, runtime)
    assert caller.run({}).status == 200

    assert not valkey.client.exists(COUNTER, "sw:calls:")


def test_another_limit_holds_from_the_next_run_on(
    caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer, gateway: GatewayServer, limit: int
) -> None:
    assert statuses([caller.run({}) for _ in range(4)]) == [200, 200, 200, 429]

    limited(valkey, runtime, gateway, 5)
    until(lambda: caller.run({}).status == 200, "the higher limit", 5)
    assert statuses([caller.run({}) for _ in range(2)]) == [200, 429]

    limited(valkey, runtime, gateway, 0)
    valkey.client.delete(COUNTER)
    until(lambda: caller.run({}).status == 429, "no runs at all", 5)


def test_an_id_that_is_sent_again_is_its_run_also_past_the_limit(
    caller: Caller, runtime: RuntimeServer, valkey: ValkeyServer, limit: int
) -> None:
    run_id = str(uuid7())
    first = caller.run({"hold": "again"}, run_id=run_id)
    assert first.status == 200
    assert statuses([caller.run({}) for _ in range(3)]) == [200, 200, 429]

    again = caller.run({"hold": "again"}, run_id=run_id)
    runtime.release("again")
    ended = caller.results(run_id)
    late = caller.run({"hold": "again"}, run_id=run_id)

    assert (again.status, again.json["uuid"], ended.status) == (200, run_id, 200)
    assert (late.status, late.json["uuid"], late.json["state"]) == (200, run_id, "SUCCESS")
    assert caller.run({}, run_id=str(uuid7())).status == 429
    assert valkey.client.get(COUNTER) == b"3"


def test_an_id_that_many_send_at_once_is_one_run(
    caller: Caller, runtime: RuntimeServer, limit: int, keys: Keyring, gateway: GatewayServer
) -> None:
    run_id = str(uuid7())
    callers = [Caller(gateway, keys.token()) for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda one: one.run({"hold": "once"}, run_id=run_id).status, callers))
    runtime.release("once")

    assert found == [200] * 12
    assert caller.results(run_id).status == 200


def test_a_refused_run_leaves_no_record(caller: Caller, valkey: ValkeyServer, limit: int) -> None:
    for _ in range(limit):
        caller.results(caller.run({}).json["uuid"])
    records = set(valkey.client.keys("sw:run:*"))
    run_id = str(uuid7())

    assert statuses([caller.run({}), caller.run({}, run_id=run_id)]) == [429, 429]

    assert set(valkey.client.keys("sw:run:*")) == records
    assert caller.results(run_id).status == 404
