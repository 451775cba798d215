"""Replicas come and go under load: an update, a resize and a growing and shrinking deployment cost no run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.gateway.servers import Caller, GatewayServer, RuntimeServer, until, usage_events, write_route
from tests.gateway.test_kills import Stack, get_until_ended, stack

__all__ = ["stack"]

CLIENTS = 6
WORK_MS = 15


class Load:
    """Clients that each send a run, wait for its end and send the next one: some hundred runs a second at most, 50 at the least."""

    def __init__(self, stack: Stack, *gateways: GatewayServer) -> None:
        self.ended: list[tuple[str, int]] = []
        self._over = threading.Event()
        callers = [stack.caller(gateways[number % len(gateways)]) for number in range(CLIENTS)]
        self._threads = [threading.Thread(target=self._run, args=(caller, number)) for number, caller in enumerate(callers)]

    def _run(self, caller: Caller, number: int) -> None:
        while not self._over.is_set():
            pad = "x" * (40_000 if number % 3 == 0 else 10)
            accepted = caller.run({"work_ms": WORK_MS, "pad": pad})
            if accepted.status != 200:
                self.ended.append((accepted.body.decode(), accepted.status))
                return
            run_id = accepted.json["uuid"]
            self.ended.append((run_id, caller.results(run_id).status))

    def await_more(self, number: int) -> None:
        """Wait until so many more runs have ended."""
        goal = len(self.ended) + number
        until(lambda: len(self.ended) >= goal or not all(thread.is_alive() for thread in self._threads), "the load")

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(60)

    def none_was_lost(self, stack: Stack) -> None:
        assert [one for one in self.ended if one[1] != 200] == []
        stack.each_charged_once([run_id for run_id, _ in self.ended])


def test_twenty_updates_under_load_lose_no_run(stack: Stack, tmp_path: Path) -> None:
    """The old replica refuses runs right after the switch, or even before it, then closes its socket."""
    load = Load(stack, stack.first, stack.second)
    with ExitStack() as servers:
        old = stack.runtime
        with load.running():
            for number in range(20):
                new = RuntimeServer(tmp_path, f"revision-{number}", workers=2)
                new.start()
                servers.callback(new.close)
                if number % 2:
                    old.drain()
                write_route(stack.valkey, new, tag=f"v{number}")
                if not number % 2:
                    old.drain()
                load.await_more(10)
                assert old.child.wait(20) == 0
                old = new
        load.none_was_lost(stack)
    assert len(load.ended) >= 200


def test_growing_to_three_replicas_and_shrinking_to_one_loses_no_run(stack: Stack, tmp_path: Path) -> None:
    more = [RuntimeServer(tmp_path, f"more-{number}", workers=2) for number in range(2)]
    load = Load(stack, stack.first, stack.second)
    with ExitStack() as servers, load.running():
        for runtime in more:
            runtime.start()
            servers.callback(runtime.close)
        write_route(stack.valkey, stack.runtime, *more)
        load.await_more(100)
        shares = [len(runtime.executions()) for runtime in more]
        write_route(stack.valkey, more[1])
        stack.runtime.drain()
        more[0].drain()
        assert [stack.runtime.child.wait(20), more[0].child.wait(20)] == [0, 0]
        before = len(more[1].executions())
        load.await_more(50)
        assert len(more[1].executions()) >= before + 50 - CLIENTS, "all but those that were on their way"
    load.none_was_lost(stack)
    assert min(shares) >= 0.3 * max(shares)


def test_a_new_replica_takes_the_runs_that_wait_at_once(stack: Stack) -> None:
    caller = stack.caller(stack.first)
    run_ids = [caller.run({"hold": "a"}).json["uuid"] for _ in range(10)]
    assert stack.runtime.executions() == run_ids[:4], "two for each worker, the rest waits in the gateway"
    stack.other_runtime.start()
    try:
        write_route(stack.valkey, stack.runtime, stack.other_runtime)
        until(lambda: stack.other_runtime.executions() == run_ids[4:8], "the waiting runs, in their order")
        stack.runtime.release("a")
        stack.other_runtime.release("a")
        assert [caller.results(run_id).status for run_id in run_ids] == [200] * 10
        stack.each_executed_once(run_ids)
    finally:
        stack.other_runtime.close()


def test_a_replica_that_leaves_ends_what_it_has_also_for_the_gateway_that_takes_over(stack: Stack) -> None:
    caller = stack.caller(stack.first)
    run_ids = [caller.run({"hold": "a", "pad": "x" * size}).json["uuid"] for size in (1, 100_000)]
    stack.other_runtime.start()
    try:
        write_route(stack.valkey, stack.other_runtime)
        stack.runtime.ask("PUT", "/control/busy")
        until(lambda: caller.results(caller.run({}).json["uuid"]).status == 200 and stack.other_runtime.executions(), "the switch")
        stack.first.kill()
        until(lambda: "Took over" in stack.second.text(), "the adoption")
        stack.runtime.release("a")
        assert [get_until_ended(stack.caller(stack.second), run_id) for run_id in run_ids] == [200, 200]
        assert stack.runtime.executions() == run_ids
        assert not set(run_ids) & set(stack.other_runtime.executions())
    finally:
        stack.other_runtime.close()


def test_a_replica_that_left_and_forgot_a_run_is_not_given_it_again(stack: Stack) -> None:
    """At its address may be a runtime of somebody else by now."""
    caller = stack.caller(stack.first)
    run_id = caller.run({"hold": "a"}).json["uuid"]
    stack.other_runtime.start()
    try:
        write_route(stack.valkey, stack.other_runtime)
        until(lambda: caller.results(caller.run({}).json["uuid"]).status == 200 and stack.other_runtime.executions(), "the switch")
        before = stack.runtime.executions()
        stack.runtime.kill()
        stack.runtime.start()
        until(lambda: run_id in stack.other_runtime.executions(), "the new replica")
        stack.other_runtime.release("a")
        assert caller.results(run_id).status == 200
        assert stack.runtime.executions() == before
    finally:
        stack.other_runtime.close()


def test_one_run_that_a_replica_that_left_does_not_know_costs_the_others_nothing(stack: Stack) -> None:
    """What it has, it ends: none of it is executed again elsewhere."""
    caller = stack.caller(stack.first)
    write_route(stack.valkey, stack.runtime, replicas=[{"id": "r-runtime", "address": stack.runtime.address, "workers": 20}])
    run_ids = [caller.run({"hold": "a"}).json["uuid"] for _ in range(20)]
    until(lambda: len(stack.runtime.executions()) == 20, "the executions")
    forgotten, known = run_ids[::2], run_ids[1::2]
    stack.other_runtime.start()
    try:
        write_route(stack.valkey, stack.other_runtime)
        for run_id in forgotten:
            stack.runtime.ask("PUT", f"/control/forget/{run_id}")
        stack.first.kill()
        until(lambda: "Took over 20" in stack.second.text(), "the adoption")
        until(lambda: len(stack.other_runtime.executions()) == 4, "the new replica")
        stack.other_runtime.release("a")
        stack.runtime.release("a")
        assert [get_until_ended(stack.caller(stack.second), run_id) for run_id in run_ids] == [200] * 20
        assert not set(known) & set(stack.other_runtime.executions())
        assert sorted(stack.other_runtime.executions()) == sorted(forgotten)
    finally:
        stack.other_runtime.close()


def test_a_full_replica_is_no_reason_to_refuse_while_another_has_room(stack: Stack) -> None:
    stack.other_runtime.start()
    try:
        write_route(stack.valkey, stack.runtime, stack.other_runtime)
        stack.runtime.ask("PUT", "/control/busy")
        caller = stack.caller(stack.first)
        run_ids = [caller.run({}).json["uuid"] for _ in range(6)]
        assert [caller.results(run_id).status for run_id in run_ids] == [200] * 6
        assert sorted(stack.other_runtime.executions()) == sorted(run_ids)
    finally:
        stack.other_runtime.close()


def test_a_usage_event_names_the_revision_that_ran_it_and_whose_fault_a_failure_is(stack: Stack) -> None:
    caller = stack.caller(stack.first)
    steers = [{}, {"fail": "a plugin raised"}, {"fail": "an odd size", "code": "invalid_parameter"}]
    run_ids = [caller.run(steer).json["uuid"] for steer in steers]
    assert [caller.results(run_id).status for run_id in run_ids] == [200, 520, 520]
    events = usage_events(stack.valkey)
    assert [(events[run_id][0]["revision"], events[run_id][0]["fault"]) for run_id in run_ids] == [("7", ""), ("7", "1"), ("7", "")]
