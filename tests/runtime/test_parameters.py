"""Parameters of a run change that run and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.pictures import COINS
from tests.runtime.process import RuntimeProcess, image_input


@pytest.fixture
def echo(shared_runtime: Callable[[str], RuntimeProcess]) -> RuntimeProcess:
    """One worker, so that each run follows the one before in the same process."""
    return shared_runtime("echo")


def echoed(runtime: RuntimeProcess, **parameters: str) -> str:
    """The text that the task was given."""
    asked = [{"task_name": "echo", "parameters": parameters}]
    (result,) = runtime.results({"inputs": [image_input(COINS)], "outputs": [{"task_name": "echo"}], "parameters": asked})
    return str(result["DATA_DICT"]["text"])


def test_a_parameter_does_not_leak_into_the_next_run(echo: RuntimeProcess) -> None:
    assert echoed(echo, text="mine") == "mine"
    assert echoed(echo) == ""
    assert echoed(echo, text="again") == "again"
    assert echoed(echo, seconds="0") == ""


def test_a_parameter_may_be_any_text(echo: RuntimeProcess) -> None:
    for text in ("", "é ü 漢字", '{"a": "\\u0000"}', "x" * 300_000, "7"):
        assert echoed(echo, text=text) == text


def test_parameters_reach_the_occurrence_that_they_name(shared_runtime: Callable[[str], RuntimeProcess]) -> None:
    runtime = shared_runtime("two_blurs")
    outputs = [{"task_name": "ocv_blur", "task_index": index} for index in (0, 1)]

    def smooth(parameters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return runtime.results({"inputs": [image_input(COINS)], "outputs": outputs, "parameters": parameters})

    weak, strong = smooth([])
    wide = {"kSizeWidth": "31", "kSizeHeight": "31"}
    first, _ = smooth([{"task_name": "ocv_blur", "task_index": 0, "parameters": wide}])
    assert first != weak
    unchanged, second = smooth([{"task_name": "ocv_blur", "task_index": 1, "parameters": {"kSizeWidth": "3", "kSizeHeight": "3"}}])
    assert unchanged == weak
    assert second != strong
    assert smooth([]) == [weak, strong]


def test_a_parameter_that_the_task_rejects_fails_the_run_only(shared_runtime: Callable[[str], RuntimeProcess]) -> None:
    runtime = shared_runtime("misbehave")
    asked = {"inputs": [image_input(COINS)], "outputs": [{"task_name": "misbehave"}]}
    answer = runtime.run(asked | {"parameters": [{"task_name": "misbehave", "parameters": {"number": "many", "how": "raise"}}]})
    assert answer["state"] == "FAILURE"
    error = answer["error"]
    assert (error["code"], error["task"]) == ("invalid_parameter", "misbehave")
    assert "number='many'" in error["message"]
    assert "invalid literal for int()" in error["message"]
    assert runtime.run(asked)["state"] == "SUCCESS"


def test_a_parameter_that_a_built_in_task_rejects_is_named(shared_runtime: Callable[[str], RuntimeProcess]) -> None:
    runtime = shared_runtime("blur")
    asked = {"inputs": [image_input(COINS)], "outputs": [{"task_name": "ocv_blur"}]}
    for value, code in (("wide", "invalid_parameter"), ("-3", "task_failed")):
        answer = runtime.run(asked | {"parameters": [{"task_name": "ocv_blur", "parameters": {"kSizeWidth": value}}]})
        assert (answer["error"]["code"], answer["error"]["task"]) == (code, "ocv_blur")
    assert runtime.run(asked)["state"] == "SUCCESS"
