"""Large results between the end of a run and their lasting copy."""

from __future__ import annotations

from tests.gateway.servers import until
from tests.gateway.test_kills import Stack, stack

__all__ = ["stack"]


def kind_of(stack: Stack, run_id: str) -> bytes | None:
    return stack.valkey.client.hget(f"sw:run:{run_id}", "result_kind")  # type: ignore[return-value]


def test_without_an_object_store_a_large_result_lasts_in_its_record(stack: Stack) -> None:
    run_id = stack.caller(stack.first).run({"size": 100_000}).json["uuid"]
    assert stack.caller(stack.first).results(run_id).status == 200
    until(lambda: kind_of(stack, run_id) == b"inline", "the lasting copy")
    stack.runtime.kill()
    assert stack.caller(stack.second).results(run_id).status == 200


def test_a_result_without_a_lasting_copy_is_read_from_the_runtime(stack: Stack) -> None:
    run_id = stack.caller(stack.first).run({"size": 100_000}).json["uuid"]
    expected = stack.caller(stack.first).results(run_id).body
    until(lambda: kind_of(stack, run_id) == b"inline", "the lasting copy")
    lose_lasting_copy(stack, run_id)
    assert stack.caller(stack.second).results(run_id).body == expected
    until(lambda: kind_of(stack, run_id) == b"inline", "the reader's lasting copy")


def test_a_result_that_is_nowhere_any_more_is_said_to_be_lost(stack: Stack) -> None:
    run_id = stack.caller(stack.first).run({"size": 100_000}).json["uuid"]
    assert stack.caller(stack.first).results(run_id).status == 200
    until(lambda: kind_of(stack, run_id) == b"inline", "the lasting copy")
    lose_lasting_copy(stack, run_id)
    stack.runtime.kill()
    lost = stack.caller(stack.second).results(run_id)
    assert (lost.status, lost.json["code"]) == (520, "result_lost")


def lose_lasting_copy(stack: Stack, run_id: str) -> None:
    """Put the record back to what it was before the copy: as if the first gateway had died in between."""
    stack.valkey.client.hset(f"sw:run:{run_id}", mapping={"result_kind": "runtime", "result": stack.runtime.address})
