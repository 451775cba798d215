"""The HTTP routes of a runtime: what gateways and agents rely on."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pictures import COINS
from tests.runtime.conftest import StartRuntime
from tests.runtime.process import WORKFLOWS, RuntimeProcess, image_input


@pytest.fixture
def echo(shared_runtime: Callable[[str], RuntimeProcess]) -> RuntimeProcess:
    """A runtime that does next to nothing."""
    return shared_runtime("echo")


def echo_body(**parameters: str) -> dict[str, Any]:
    """A run of the echo task."""
    asked = [{"task_name": "echo", "parameters": parameters}] if parameters else []
    return {"inputs": [image_input(COINS)], "outputs": [{"task_name": "echo"}], "parameters": asked}


def executions(mark: Path) -> int:
    """How often the engine has executed a run with this mark."""
    return len(mark.read_text().splitlines()) if mark.exists() else 0


def test_health_tells_the_workers_and_what_they_do(echo: RuntimeProcess) -> None:
    assert echo.request("GET", "/health") == (200, {"status": "ready", "workers": 1, "busy": 0, "queued": 0})


def test_health_says_starting_until_the_workflow_is_loaded(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo")
    runtime.wait_for_log("runtime started")
    status, health = runtime.request("GET", "/health")
    assert (status, health["status"]) in ((503, "starting"), (200, "ready"))
    runtime.wait_until_ready()
    assert runtime.request("GET", "/health")[0] == 200


def test_a_run_sent_while_the_engine_starts_waits_for_it(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo")
    runtime.wait_for_log("runtime started")
    assert runtime.results(echo_body()) == [{"DATA_DICT": {"text": "", "width": 384, "height": 303}}]


def test_the_workflow_is_given_as_it_was_pushed(echo: RuntimeProcess) -> None:
    assert echo.request("GET", "/workflow") == (200, json.loads((WORKFLOWS / "echo/workflow.json").read_bytes()))


def test_a_run_answers_with_its_results_and_the_time_of_the_engine(echo: RuntimeProcess) -> None:
    run = str(uuid.uuid4())
    answer = echo.run(echo_body(text="hello"), run)
    assert answer.pop("duration_ms") > 0
    assert answer == {"uuid": run, "state": "SUCCESS", "results": [{"DATA_DICT": {"text": "hello", "width": 384, "height": 303}}]}


def test_the_receipt_comes_before_the_run_has_ended(runtime_process: StartRuntime, tmp_path: Path) -> None:
    runtime = runtime_process("echo").wait_until_ready()
    connection = runtime.connect()
    connection.request("PUT", f"/runs/{uuid.uuid4()}", json.dumps(echo_body(seconds="60")))
    response = connection.getresponse()
    assert response.status == 200
    assert response.read1(1) == b" "
    assert runtime.request("GET", "/health")[1]["busy"] == 1
    response.close()
    connection.close()
    runtime.process.kill()


def test_the_same_id_again_gives_the_kept_answer_and_runs_once(echo: RuntimeProcess, tmp_path: Path) -> None:
    run, mark = str(uuid.uuid4()), tmp_path / "mark"
    first = echo.run(echo_body(mark=str(mark)), run)
    again = echo.run(echo_body(mark=str(mark)), run)
    assert again == first
    assert echo.request("GET", f"/runs/{run}") == (200, first)
    assert echo.run(echo_body(mark=str(mark)), run.upper()) == first
    assert executions(mark) == 1


def test_the_same_id_joins_the_run_in_flight(echo: RuntimeProcess, tmp_path: Path) -> None:
    run, mark = str(uuid.uuid4()), tmp_path / "mark"
    body = echo_body(mark=str(mark), seconds="0.3")
    waits = [echo.start_in_background(body, run) for _ in range(5)]
    answers = [wait() for wait in waits]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][1]["state"] == "SUCCESS"
    assert executions(mark) == 1


def test_a_client_that_goes_away_does_not_stop_its_run(echo: RuntimeProcess, tmp_path: Path) -> None:
    run, mark = str(uuid.uuid4()), tmp_path / "mark"
    connection = echo.connect()
    connection.request("PUT", f"/runs/{run}", json.dumps(echo_body(mark=str(mark), seconds="0.2")))
    echo.wait_for_log("sleeping", run=run)
    connection.close()
    status, answer = echo.request("GET", f"/runs/{run}")
    assert (status, answer["state"]) == (200, "SUCCESS")
    assert executions(mark) == 1


def test_the_input_can_be_read_back_while_it_is_held(echo: RuntimeProcess) -> None:
    run, body = str(uuid.uuid4()), echo_body(seconds="0.3")
    wait = echo.start_in_background(body, run)
    echo.wait_for_log("sleeping", run=run)
    assert echo.request("GET", f"/runs/{run}/input") == (200, body)
    assert wait()[0] == 200
    status, answer = echo.request("GET", f"/runs/{run}/input")
    assert (status, answer["code"]) == (404, "input_gone")


def test_unknown_runs_and_routes_are_not_found(echo: RuntimeProcess) -> None:
    assert echo.request("GET", f"/runs/{uuid.uuid4()}")[0] == 404
    assert echo.request("GET", f"/runs/{uuid.uuid4()}/input")[0] == 404
    assert echo.request("GET", "/other")[0] == 404
    assert echo.request("DELETE", "/health")[0] == 404


def test_an_id_that_is_no_uuid_is_refused(echo: RuntimeProcess) -> None:
    status, answer = echo.put_run(echo_body(), "not-a-uuid")
    assert (status, answer["code"]) == (400, "invalid_run_id")


def test_kept_answers_have_a_bound_and_what_was_dropped_never_runs_again(runtime_process: StartRuntime, tmp_path: Path) -> None:
    runtime = runtime_process("echo", "--kept-answer-mb", "1").wait_until_ready()
    run, mark = str(uuid.uuid4()), tmp_path / "mark"
    runtime.run(echo_body(mark=str(mark)), run)
    for _ in range(12):
        runtime.run(echo_body(text="x" * 100_000))
    for method in ("GET", "PUT"):
        status, answer = runtime.request(method, f"/runs/{run}", echo_body(mark=str(mark)))
        assert (status, answer["code"]) == (410, "run_expired")
    assert executions(mark) == 1


def test_a_full_queue_answers_busy(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo", "--queue-limit", "1").wait_until_ready()
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    runtime.start_in_background(echo_body(seconds="60"), first)
    runtime.wait_for_log("sleeping", run=first)
    connection = runtime.connect()
    connection.request("PUT", f"/runs/{second}", json.dumps(echo_body()))
    response = connection.getresponse()
    assert response.read1(1) == b" "
    third = runtime.connect()
    third.request("PUT", f"/runs/{uuid.uuid4()}", json.dumps(echo_body()))
    refused = third.getresponse()
    assert (refused.status, refused.headers["Retry-After"], json.loads(refused.read())["code"]) == (503, "1", "busy")
    for item in (response, connection, third):
        item.close()
    runtime.process.kill()


def test_runs_are_spread_over_the_workers(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo", "--workers", "2").wait_until_ready(2)
    runs = [str(uuid.uuid4()), str(uuid.uuid4())]
    waits = [runtime.start_in_background(echo_body(seconds="0.5"), run) for run in runs]
    for run in runs:
        runtime.wait_for_log("sleeping", run=run)
    assert runtime.request("GET", "/health")[1]["busy"] == 2
    assert [wait()[1]["state"] for wait in waits] == ["SUCCESS", "SUCCESS"]


def test_each_run_has_its_line_in_the_log(echo: RuntimeProcess) -> None:
    run = str(uuid.uuid4())
    answer = echo.run(echo_body(), run)
    (line,) = echo.wait_for_log(f"run {run} succeeded in ")
    assert line["level"] == "INFO"
    assert line["run"] == run
    assert line["duration_ms"] == answer["duration_ms"]
    assert line["message"].endswith(f"{answer['duration_ms']:.1f} ms")
