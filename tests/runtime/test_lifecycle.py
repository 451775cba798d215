"""Start, stop and death of a runtime: nothing is left behind, and what can't be served is told."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pictures import COINS
from tests.runtime.conftest import StartRuntime
from tests.runtime.process import WORKFLOWS, RuntimeProcess, image_input, wait_until_gone

Workflow = dict[str, Any]


def sleeping(seconds: str) -> dict[str, Any]:
    """A run that takes its time."""
    asked = [{"task_name": "echo", "parameters": {"seconds": seconds, "text": "done"}}]
    return {"inputs": [image_input(COINS)], "outputs": [{"task_name": "echo"}], "parameters": asked}


def test_sigterm_finishes_the_run_in_hand_and_exits_with_zero(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo").wait_until_ready()
    run = str(uuid.uuid4())
    wait = runtime.start_in_background(sleeping("0.5"), run)
    runtime.wait_for_log("sleeping", run=run)
    everyone = [runtime.template, *runtime.workers()]
    runtime.process.send_signal(signal.SIGTERM)
    runtime.wait_for_log("stopping")
    status, answer = runtime.put_run(sleeping("0"))
    assert (status, answer["code"]) == (503, "draining")
    assert runtime.request("GET", "/health") == (503, {"status": "draining"})
    assert wait()[1]["state"] == "SUCCESS"
    assert runtime.wait() == 0
    wait_until_gone(everyone)
    assert not runtime.socket.exists()


def test_sigterm_to_the_whole_group_finishes_the_run_in_hand_too(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo").wait_until_ready()
    run = str(uuid.uuid4())
    wait = runtime.start_in_background(sleeping("0.5"), run)
    runtime.wait_for_log("sleeping", run=run)
    for pid in (*runtime.workers(), runtime.template, runtime.process.pid):
        os.kill(pid, signal.SIGTERM)
    assert wait()[1]["state"] == "SUCCESS"
    assert runtime.wait() == 0


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_kill_9_of_the_http_process_leaves_no_process(runtime_process: StartRuntime, busy: bool) -> None:
    runtime = runtime_process("echo", "--workers", "2").wait_until_ready(2)
    if busy:
        run = str(uuid.uuid4())
        runtime.start_in_background(sleeping("60"), run)
        runtime.wait_for_log("sleeping", run=run)
    everyone = [runtime.template, *runtime.workers()]
    assert len(everyone) == 3
    runtime.process.kill()
    wait_until_gone(everyone)


def test_kill_9_while_the_engine_loads_leaves_no_process(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo")
    runtime.wait_for_log("runtime started")
    template = runtime.template
    runtime.process.kill()
    wait_until_gone([template])


def test_a_socket_that_a_dead_runtime_left_is_replaced(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo").wait_until_ready()
    runtime.process.kill()
    runtime.wait()
    assert runtime.socket.exists()
    bundle = runtime.socket.parent / "bundle"
    folder = runtime.socket.parent / "again"
    folder.mkdir()
    (folder / "runtime.sock").hardlink_to(runtime.socket)
    again = RuntimeProcess(folder, bundle)
    try:
        again.wait_until_ready()
        assert again.request("GET", "/health")[0] == 200
    finally:
        again.stop()


def test_the_socket_is_open_to_other_users(shared_runtime: Callable[[str], RuntimeProcess]) -> None:
    assert shared_runtime("echo").socket.stat().st_mode & 0o777 == 0o666


def test_the_engine_sees_no_credentials_and_the_bundle_is_only_read(runtime_process: StartRuntime) -> None:
    runtime = runtime_process("echo").wait_until_ready()
    bundle = runtime.socket.parent / "bundle"
    runtime.run(sleeping("0"))
    environment = Path(f"/proc/{runtime.template}/environ").read_text()
    assert "IKOMIA_TOKEN" not in environment
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    source = {path.relative_to(WORKFLOWS / "echo").as_posix() for path in (WORKFLOWS / "echo").rglob("*.py")}
    assert files == {"workflow.json"} | {f"plugins/Python/{name}" for name in source}


def changed(tmp_path: Path, change: Callable[[Workflow], None], workflow: str = "blur_only") -> Path:
    """A copy of the blur workflow with a change."""
    content: Workflow = json.loads((WORKFLOWS / "two_blurs/workflow.json").read_text())
    change(content)
    folder = tmp_path / workflow
    folder.mkdir()
    (folder / "workflow.json").write_text(json.dumps(content))
    return folder


def rename(content: Workflow) -> None:
    """An algorithm that exists nowhere."""
    content["tasks"][1]["task_data"]["name"] = "infer_nothing"


def never_run(content: Workflow) -> None:
    """An algorithm that crashes the engine."""
    content["tasks"][1]["task_data"]["name"] = "ocv_qrcode_detector"


def cycle(content: Workflow) -> None:
    """The second task feeds the first."""
    content["connections"].append({"source_id": 1, "source_index": 0, "target_id": 0, "target_index": 1})


def missing_target(content: Workflow) -> None:
    """A connection to nowhere."""
    content["connections"][1]["target_id"] = 9


def missing_source(content: Workflow) -> None:
    """A connection from nowhere."""
    content["connections"][1]["source_id"] = 9


def same_id(content: Workflow) -> None:
    """Two tasks of one id."""
    content["tasks"][1]["task_id"] = 0


def number_parameter(content: Workflow) -> None:
    """A value that is no string."""
    content["tasks"][0]["task_data"]["parameters"][0]["value"] = 3


def no_task(content: Workflow) -> None:
    """Nothing to run."""
    content["tasks"] = []
    content["connections"] = []


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (rename, "task infer_nothing: there is no such algorithm"),
        (never_run, "task ocv_qrcode_detector can't be served"),
        (cycle, "cycle through: ocv_blur, ocv_blur"),
        (missing_target, "connection 1 refers to task 9, which does not exist"),
        (missing_source, "connection 1 refers to task 9, which does not exist"),
        (same_id, "task id 0 is used twice"),
        (number_parameter, "Expected `str`, got `int`"),
        (no_task, "the workflow has no task"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_workflow_that_can_not_be_served_is_told_by_health(
    runtime_process: StartRuntime, tmp_path: Path, change: Callable[[Workflow], None], part: str
) -> None:
    runtime = runtime_process(changed(tmp_path, change))
    runtime.wait_for_log("the workflow can't be served")
    status, health = runtime.request("GET", "/health")
    assert (status, health["status"]) == (503, "failed")
    assert part in health["detail"]
    status, answer = runtime.put_run({"inputs": [], "outputs": []})
    assert (status, answer["code"]) == (503, "failed")
    assert runtime.stop() == 0


def broken_plugin(tmp_path: Path, process: str) -> Path:
    """The echo workflow with another text in its plugin."""
    folder = tmp_path / "echo"
    (folder / "echo").mkdir(parents=True)
    for name in ("workflow.json", "echo/__init__.py", "echo/echo.py"):
        (folder / name).write_text((WORKFLOWS / "echo" / name).read_text())
    (folder / "echo/echo_process.py").write_text(process)
    return folder


def test_a_plugin_that_can_not_be_imported_is_told_with_its_traceback(runtime_process: StartRuntime, tmp_path: Path) -> None:
    runtime = runtime_process(broken_plugin(tmp_path, "import a_package_that_is_not_there\n"))
    runtime.wait_for_log("the workflow can't be served")
    detail = runtime.request("GET", "/health")[1]["detail"]
    assert "echo_process.py" in detail
    assert detail.rstrip().endswith("ModuleNotFoundError: No module named 'a_package_that_is_not_there'")


def test_a_plugin_that_crashes_on_import_is_told_after_a_few_tries(runtime_process: StartRuntime, tmp_path: Path) -> None:
    runtime = runtime_process(broken_plugin(tmp_path, "import os\nos.abort()\n"))
    runtime.wait_for_log("the workflow can't be served")
    assert len(runtime.wait_for_log("The engine process ended", count=3)) == 3
    detail = runtime.request("GET", "/health")[1]["detail"]
    assert "it died of SIGABRT while loading the workflow" in detail


def test_a_plugin_whose_initialisation_fails_is_told_with_its_traceback(runtime_process: StartRuntime, tmp_path: Path) -> None:
    source = (WORKFLOWS / "echo/echo/echo_process.py").read_text()
    failing = source.replace(
        "    def run(self):", "    def init_long_process(self):\n        raise FileNotFoundError('weights.pt')\n\n    def run(self):"
    )
    runtime = runtime_process(broken_plugin(tmp_path, failing))
    runtime.wait_for_log("the workflow can't be served")
    assert "FileNotFoundError: weights.pt" in runtime.request("GET", "/health")[1]["detail"]


def test_files_of_a_plugin_are_found_through_its_parameters(runtime_process: StartRuntime, tmp_path: Path) -> None:
    folder = broken_plugin(tmp_path, (WORKFLOWS / "echo/echo/echo_process.py").read_text())
    (folder / "echo/data").mkdir()
    (folder / "echo/data/names.txt").write_text("quay")
    content: Workflow = json.loads((folder / "workflow.json").read_text())
    content["tasks"][0]["task_data"]["parameters"] = [{"name": "text", "value": "file://echo/data/names.txt"}]
    (folder / "workflow.json").write_text(json.dumps(content))
    runtime = runtime_process(folder).wait_until_ready()
    (result,) = runtime.results({"inputs": [image_input(COINS)], "outputs": [{"task_name": "echo"}]})
    assert Path(result["DATA_DICT"]["text"]).read_text() == "quay"
    assert runtime.request("GET", "/workflow")[1] == content
