"""Nobody is charged for a run that no caller knows of, and everybody once for one that is known."""

from __future__ import annotations

from tests.gateway.servers import read, until, usage_events
from tests.gateway.test_kills import Stack, get_until_ended, stack

__all__ = ["stack"]

SILENT = b'{"inputs":[{"silent":1,"hold":"a"}],"outputs":[],"parameters":[]}'


def accepted_run(stack: Stack) -> str:
    """Return the id of the run whose record is in Valkey although its request was not answered."""
    keys = until(lambda: stack.valkey.client.keys("sw:run:*"), "the record")
    return str(keys[0].decode().removeprefix("sw:run:"))


def state_of(stack: Stack, run_id: str) -> bytes | None:
    return stack.valkey.client.hget(f"sw:run:{run_id}", "state")  # type: ignore[return-value]


def test_a_run_whose_request_was_never_answered_is_free(stack: Stack) -> None:
    with stack.caller(stack.first).open("PUT", "/blur/api/run", SILENT):
        run_id = accepted_run(stack)
        stack.first.kill()
    stack.runtime.release("a")
    until(lambda: state_of(stack, run_id) == b"SUCCESS", "the end")
    assert not usage_events(stack.valkey)


def test_asking_for_its_results_makes_it_chargeable_once(stack: Stack) -> None:
    with stack.caller(stack.first).open("PUT", "/blur/api/run", SILENT):
        run_id = accepted_run(stack)
        stack.first.kill()
    stack.runtime.release("a")
    until(lambda: state_of(stack, run_id) == b"SUCCESS", "the end")
    for _ in range(2):
        assert stack.caller(stack.second).results(run_id).status == 200
    stack.each_charged_once([run_id])


def test_asking_before_its_end_makes_it_chargeable_too(stack: Stack) -> None:
    with stack.caller(stack.first).open("PUT", "/blur/api/run", SILENT):
        run_id = accepted_run(stack)
        stack.first.kill()
    assert stack.caller(stack.second).results(run_id, long=False).status == 202
    stack.runtime.release("a")
    assert get_until_ended(stack.caller(stack.second), run_id) == 200
    stack.each_charged_once([run_id])


def test_a_run_does_not_end_before_its_request_is_answered(stack: Stack) -> None:
    with stack.caller(stack.first).open("PUT", "/blur/api/run", SILENT) as put:
        run_id = accepted_run(stack)
        assert state_of(stack, run_id) == b"PENDING"
        stack.runtime.release("a")
        assert read(put).json == run_id
    assert stack.caller(stack.first).results(run_id).status == 200
    stack.each_charged_once([run_id])


def test_a_caller_that_leaves_before_the_answer_leaves_no_run_hanging(stack: Stack) -> None:
    connection = stack.caller(stack.first).open("PUT", "/blur/api/run", SILENT)
    run_id = accepted_run(stack)
    connection.close()
    stack.runtime.release("a")
    until(lambda: state_of(stack, run_id) == b"SUCCESS", "the end")


def test_a_gateway_that_was_only_slow_does_not_charge_twice(stack: Stack) -> None:
    """The second gateway takes over from a first one that is stopped, not dead; both bring the run to its end."""
    run_id = stack.caller(stack.first).run({"hold": "a"}).json["uuid"]
    stack.first.pause()
    until(lambda: "Took over" in stack.second.text(), "the adoption")
    stack.runtime.release("a")
    until(lambda: state_of(stack, run_id) == b"SUCCESS", "the end")
    stack.first.resume()
    assert get_until_ended(stack.caller(stack.first), run_id) == 200
    until(lambda: usage_events(stack.valkey), "the charge")
    assert get_until_ended(stack.caller(stack.second), run_id) == 200
    stack.each_executed_once([run_id])
    stack.each_charged_once([run_id])
