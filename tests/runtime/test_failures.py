"""Plugins that fail, crash, hang or are killed: the run ends with a clear message, and the next one works."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pictures import COINS
from tests.runtime.conftest import StartRuntime
from tests.runtime.process import RuntimeProcess, image_input

Shared = Callable[[str], RuntimeProcess]


def misbehaving(how: str, **parameters: str) -> dict[str, Any]:
    """A run of the task that fails as it is told."""
    asked = [{"task_name": "misbehave", "parameters": {"how": how, **parameters}}]
    return {"inputs": [image_input(COINS)], "outputs": [{"task_name": "misbehave"}], "parameters": asked}


def executions(mark: Path) -> int:
    """How often the engine has begun a run with this mark."""
    return len(mark.read_text().splitlines()) if mark.exists() else 0


@pytest.fixture
def misbehave(shared_runtime: Shared) -> RuntimeProcess:
    """ocv_blur, then the plugin."""
    return shared_runtime("misbehave")


def test_an_exception_in_a_plugin_is_told_with_its_traceback(misbehave: RuntimeProcess) -> None:
    run = str(uuid.uuid4())
    answer = misbehave.run(misbehaving("raise"), run)
    assert answer["state"] == "FAILURE"
    assert "results" not in answer
    error = answer["error"]
    assert (error["code"], error["task"]) == ("task_failed", "misbehave")
    assert error["message"] == "Task misbehave failed: ZeroDivisionError: division by zero"
    assert error["traceback"].splitlines()[0] == "Traceback (most recent call last):"
    assert '"plugins/Python/misbehave/misbehave_process.py"' in error["traceback"]
    assert "in divide" in error["traceback"]
    assert error["traceback"].endswith("ZeroDivisionError: division by zero")
    (line,) = misbehave.wait_for_log(f"run {run} failed after")
    assert (line["level"], line["traceback"]) == ("ERROR", error["traceback"])


def test_a_plugin_that_exits_fails_its_run_only(misbehave: RuntimeProcess) -> None:
    error = misbehave.run(misbehaving("exit"))["error"]
    assert error["message"] == "Task misbehave failed: SystemExit: 3"
    assert misbehave.run(misbehaving(""))["state"] == "SUCCESS"


def test_a_failing_run_leaves_its_worker_in_service(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("misbehave").wait_until_ready()
    before = runtime.workers()
    for how in ("raise", "exit", "forget"):
        runtime.run(misbehaving(how))
    assert runtime.run(misbehaving(""))["state"] == "SUCCESS"
    assert runtime.workers() == before


def test_an_output_that_was_not_made_is_empty_not_the_one_before(misbehave: RuntimeProcess) -> None:
    assert misbehave.results(misbehaving(""))[0]["image"] != ""
    failed = misbehave.run(misbehaving("raise"))
    assert failed["state"] == "FAILURE"
    again = misbehave.results(misbehaving(""))
    assert again == misbehave.results(misbehaving(""))


@pytest.mark.parametrize(
    ("how", "word"), [("abort", "SIGABRT"), ("segv", "SIGSEGV"), ("leave", "exited with code 7")], ids=["abort", "segv", "leave"]
)
def test_a_crash_fails_the_run_once_and_the_next_one_works(misbehave: RuntimeProcess, tmp_path: Path, how: str, word: str) -> None:
    mark = tmp_path / "mark"
    error = misbehave.run(misbehaving(how, mark=str(mark)))["error"]
    assert error["code"] == "engine_crashed"
    assert word in error["message"]
    if how != "leave":
        assert f"in fail_{how}" in error["traceback"]
    assert executions(mark) == 1
    assert misbehave.run(misbehaving(""))["state"] == "SUCCESS"


def test_a_run_that_takes_too_long_is_stopped(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("misbehave", "--run-timeout", "0.5").wait_until_ready()
    answer = runtime.run(misbehaving("hang"))
    assert answer["error"] == {"code": "timeout", "message": "The run took longer than 0.5 s and was stopped."}
    assert 500 <= answer["duration_ms"] < 60_000
    assert runtime.run(misbehaving(""))["state"] == "SUCCESS"


def test_a_run_whose_worker_is_killed_is_tried_once_more(runtime_process: StartRuntime, tmp_path: Path) -> None:
    runtime = runtime_process("echo").wait_until_ready()
    run, mark = str(uuid.uuid4()), tmp_path / "mark"
    parameters = {"seconds": "0.5", "mark": str(mark), "text": "kept"}
    asked = [{"task_name": "echo", "parameters": parameters}]
    wait = runtime.start_in_background({"inputs": [image_input(COINS)], "outputs": [{"task_name": "echo"}], "parameters": asked}, run)
    runtime.wait_for_log("sleeping", run=run)
    os.kill(runtime.workers()[0], signal.SIGKILL)
    status, answer = wait()
    assert (status, answer["state"]) == (200, "SUCCESS")
    assert answer["results"][0]["DATA_DICT"]["text"] == "kept"
    assert executions(mark) == 2


def test_a_run_that_is_killed_again_and_again_fails(misbehave: RuntimeProcess, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    error = misbehave.run(misbehaving("kill", mark=str(mark)))["error"]
    assert error["code"] == "engine_killed"
    assert executions(mark) == 2
    assert misbehave.run(misbehaving(""))["state"] == "SUCCESS"


def test_the_memory_of_a_worker_is_limited(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("misbehave", "--memory-mb", "2048").wait_until_ready()
    error = runtime.run(misbehaving("memory"))["error"]
    assert error["code"] == "task_failed"
    assert "MemoryError" in error["message"]
    assert runtime.run(misbehaving(""))["state"] == "SUCCESS"


def test_what_a_plugin_prints_goes_to_the_log_and_never_into_the_answer(misbehave: RuntimeProcess) -> None:
    run = str(uuid.uuid4())
    assert misbehave.run(misbehaving("noise"), run)["state"] == "SUCCESS"
    for text in ("from print", "from printf", "from a program", '{"not": "a result"}'):
        assert misbehave.wait_for_log(text, run=run)[0]["level"] == "INFO"
    assert misbehave.wait_for_log("WARNING from stderr", run=run)[0]["level"] == "WARNING"


def test_after_the_template_is_killed_the_engine_comes_back(runtime_process: StartRuntime, tmp_path: Path) -> None:
    runtime = runtime_process("echo").wait_until_ready()
    run, mark = str(uuid.uuid4()), tmp_path / "mark"
    asked = [{"task_name": "echo", "parameters": {"seconds": "0.5", "mark": str(mark)}}]
    wait = runtime.start_in_background({"inputs": [image_input(COINS)], "outputs": [{"task_name": "echo"}], "parameters": asked}, run)
    runtime.wait_for_log("sleeping", run=run)
    os.kill(runtime.template, signal.SIGKILL)
    runtime.wait_for_log("The engine process ended: it died of SIGKILL")
    assert wait()[1]["state"] == "SUCCESS"
    assert executions(mark) == 2
    assert runtime.request("GET", "/health")[1]["status"] == "ready"


def test_idle_workers_that_are_killed_are_replaced(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo", "--workers", "2").wait_until_ready(2)
    for count in (3, 4, 5):
        os.kill(runtime.workers()[0], signal.SIGKILL)
        runtime.wait_for_log("is ready", count=count)
    assert runtime.request("GET", "/health")[1]["workers"] == 2


def test_runs_under_a_storm_of_kills_all_end(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo", "--workers", "2").wait_until_ready(2)
    asked = [{"task_name": "echo", "parameters": {"seconds": "0.02"}}]
    body = {"inputs": [image_input(COINS)], "outputs": [{"task_name": "echo"}], "parameters": asked}
    waits = [runtime.start_in_background(body, str(uuid.uuid4())) for _ in range(40)]
    for killed in range(1, 7):
        runtime.wait_for_log("is ready", count=killed)
        os.kill((runtime.workers() or [runtime.template])[0], signal.SIGKILL)
        runtime.wait_for_log("died of SIGKILL", count=killed)
    answers = [wait() for wait in waits]
    assert [status for status, _ in answers] == [200] * 40
    assert {answer["state"] for _, answer in answers} <= {"SUCCESS", "FAILURE"}
    assert sum(answer["state"] == "SUCCESS" for _, answer in answers) >= 34
