"""The graph and its tasks: everything that the engine crashes on, ignores or misreads is refused with its place."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.projects.archive import ArchiveLimits, check_archive
from tests.projects.archives import Workflow, changed, connection, pushed, refusal, refusal_of, task

Change = Callable[[Workflow], object]


def data(workflow: Workflow, index: int = 0) -> dict[str, Any]:
    return workflow["tasks"][index]["task_data"]  # type: ignore[no-any-return]


def parameter(value: Any, **others: Any) -> Change:
    return lambda workflow: data(workflow).update(parameters=[{"name": "size", "value": value}], **others)


def both(*changes: Change) -> Change:
    return lambda workflow: [change(workflow) for change in changes]


REFUSED: dict[str, tuple[Change, str, str, str]] = {
    # tasks
    "tasks missing": (lambda w: w.pop("tasks"), "workflow_structure", "/tasks", '"tasks" is missing'),
    "tasks an object": (lambda w: w.update(tasks={"0": task(0)}), "workflow_structure", "/tasks", "write a list"),
    "no task": (lambda w: w.update(tasks=[], connections=[]), "no_tasks", "/tasks", "nothing to run"),
    "a task that is a name": (lambda w: w["tasks"].append("ocv_blur"), "workflow_structure", "/tasks/2", "this one is a string"),
    "task id missing": (lambda w: w["tasks"][0].pop("task_id"), "workflow_structure", "/tasks/0/task_id", "missing"),
    "task id a string": (lambda w: w["tasks"][0].update(task_id="0"), "workflow_structure", "/tasks/0/task_id", 'a string ("0")'),
    "task id a boolean": (lambda w: w["tasks"][0].update(task_id=True), "workflow_structure", "/tasks/0/task_id", "a boolean (true)"),
    "task id a fraction": (lambda w: w["tasks"][0].update(task_id=0.5), "workflow_structure", "/tasks/0/task_id", "whole number"),
    "task id of the root": (lambda w: w["tasks"][0].update(task_id=-1), "workflow_structure", "/tasks/0/task_id", "is -1"),
    "task id too big": (lambda w: w["tasks"][0].update(task_id=2**31), "workflow_structure", "/tasks/0/task_id", "2147483647"),
    "one id for two tasks": (
        lambda w: w["tasks"][1].update(task_id=0),
        "duplicate_task_id",
        "/tasks/1/task_id",
        'id 0: "ocv_blur" and "ocv_canny"',
    ),
    "task data missing": (lambda w: w["tasks"][0].pop("task_data"), "workflow_structure", "/tasks/0/task_data/name", "missing"),
    "task data a list": (lambda w: w["tasks"][0].update(task_data=[]), "workflow_structure", "/tasks/0/task_data", "is a list"),
    "name missing": (lambda w: data(w).pop("name"), "workflow_structure", "/tasks/0/task_data/name", '"name" is missing'),
    "name empty": (lambda w: data(w).update(name=" "), "workflow_structure", "/tasks/0/task_data/name", "empty"),
    "name a number": (lambda w: data(w).update(name=3), "workflow_structure", "/tasks/0/task_data/name", "a number (3)"),
    "language unknown": (lambda w: data(w).update(language=2), "workflow_structure", "/tasks/0/task_data/language", "0 for C++"),
    "language a string": (lambda w: data(w).update(language="1"), "workflow_structure", "/tasks/0/task_data/language", '"1"'),
    "language a list": (lambda w: data(w).update(language=[1]), "workflow_structure", "/tasks/0/task_data/language", "write 0"),
    "inputs null": (lambda w: data(w).update(inputs=None), "workflow_structure", "/tasks/0/task_data/inputs", "is null"),
    "an output without name": (
        lambda w: data(w)["outputs"].append({}),
        "workflow_structure",
        "/tasks/0/task_data/outputs/1/name",
        "missing",
    ),
    # parameters
    "a number": (
        parameter(7),
        "parameter_not_text",
        "/tasks/0/task_data/parameters/0/value",
        'a number (7), not a string. Write the string "7"',
    ),
    "a fraction": (parameter(0.5), "parameter_not_text", "/tasks/0/task_data/parameters/0/value", 'Write the string "0.5"'),
    "true in C++": (parameter(True), "parameter_not_text", "/tasks/0/task_data/parameters/0/value", 'Write the string "1"'),
    "true in Python": (
        parameter(True, language=1),
        "parameter_not_text",
        "/tasks/0/task_data/parameters/0/value",
        'Write the string "True"',
    ),
    "null": (parameter(None), "parameter_not_text", "/tasks/0/task_data/parameters/0/value", "leave the parameter out"),
    "a list": (parameter([1, 2]), "parameter_not_text", "/tasks/0/task_data/parameters/0/value", 'parameter "size" is a list'),
    "no value": (lambda w: data(w)["parameters"][0].pop("value"), "parameter_not_text", "/tasks/0/task_data/parameters/0/value", "missing"),
    "no parameter name": (
        lambda w: data(w)["parameters"][0].pop("name"),
        "workflow_structure",
        "/tasks/0/task_data/parameters/0/name",
        "missing",
    ),
    "a parameter twice": (
        lambda w: data(w)["parameters"].append({"name": "size", "value": "9"}),
        "duplicate_parameter",
        "/tasks/0/task_data/parameters/1/name",
        'Task 0 "ocv_blur" has the parameter "size" twice',
    ),
    "parameters an object": (
        lambda w: data(w).update(parameters={}),
        "workflow_structure",
        "/tasks/0/task_data/parameters",
        "write a list",
    ),
    # connections
    "connections missing": (lambda w: w.pop("connections"), "workflow_structure", "/connections", "empty if need be"),
    "target missing": (
        lambda w: w["connections"].append(connection(0, 9)),
        "connection_unknown_task",
        "/connections/2/target_id",
        "task 9, which does not exist. Existing ids: 0, 1",
    ),
    "source missing": (
        lambda w: w["connections"].append(connection(9, 0)),
        "connection_unknown_task",
        "/connections/2/source_id",
        "task 9",
    ),
    "into the root": (lambda w: w["connections"].append(connection(0, -1)), "workflow_structure", "/connections/2/target_id", "is -1"),
    "source below the root": (
        lambda w: w["connections"].append(connection(-2, 0)),
        "workflow_structure",
        "/connections/2/source_id",
        "is -2",
    ),
    "no index": (lambda w: w["connections"][0].pop("target_index"), "workflow_structure", "/connections/0/target_index", "missing"),
    "index a string": (
        lambda w: w["connections"][0].update(source_index="0"),
        "workflow_structure",
        "/connections/0/source_index",
        "string",
    ),
    "index negative": (
        lambda w: w["connections"][0].update(source_index=-1),
        "workflow_structure",
        "/connections/0/source_index",
        "from 0",
    ),
    "to itself": (
        lambda w: w["connections"].append(connection(1, 1, target_index=1)),
        "connection_self",
        "/connections/2",
        'from task 1 "ocv_canny" to itself',
    ),
    "an input twice": (
        lambda w: w["connections"].append(connection(-1, 1)),
        "connection_duplicate",
        "/connections/2",
        'Input 0 of task 1 "ocv_canny" is fed twice, also by /connections/1',
    ),
    "a connection twice": (lambda w: w["connections"].append(connection(0, 1)), "connection_duplicate", "/connections/2", "fed twice"),
    "no such input": (
        lambda w: w["connections"].append(connection(0, 1, target_index=2)),
        "connection_index",
        "/connections/2/target_index",
        'input 2 of task 1 "ocv_canny", which declares 2',
    ),
    "no such output": (
        lambda w: w["connections"].append(connection(0, 1, source_index=1, target_index=1)),
        "connection_index",
        "/connections/2/source_index",
        'output 1 of task 0 "ocv_blur", which declares 1',
    ),
    "no such workflow input": (
        lambda w: w["connections"][0].update(source_index=64),
        "connection_index",
        "/connections/0/source_index",
        "input 64 of the workflow",
    ),
    "a circle": (
        both(lambda w: w["tasks"].append(task(2)), lambda w: w.update(connections=[connection(0, 1), connection(1, 2), connection(2, 0)])),
        "cycle",
        "/connections",
        'task 0 "ocv_blur" -> task 1 "ocv_canny" -> task 2 "ocv_blur" -> task 0 "ocv_blur"',
    ),
    # exposed
    "exposed output of nobody": (
        lambda w: w["exposed_outputs"][0].update(task_id=9),
        "exposed_unknown",
        "/exposed_outputs/0/task_id",
        "task 9, which does not exist",
    ),
    "exposed output that is not there": (
        lambda w: w["exposed_outputs"][0].update(task_output_index=1),
        "exposed_unknown",
        "/exposed_outputs/0/task_output_index",
        'output 1 of task 1 "ocv_canny", which declares 1',
    ),
    "exposed output twice": (
        lambda w: w["exposed_outputs"].append(w["exposed_outputs"][0]),
        "exposed_duplicate",
        "/exposed_outputs/1",
        "twice",
    ),
    "exposed parameter of nobody": (
        lambda w: w["exposed_parameters"][0].update(task_id=9),
        "exposed_unknown",
        "/exposed_parameters/0/task_id",
        "task 9",
    ),
    "exposed parameter that is not there": (
        lambda w: w["exposed_parameters"][0].update(task_param_name="sise"),
        "exposed_unknown",
        "/exposed_parameters/0/task_param_name",
        'parameter "sise" of task 0 "ocv_blur"',
    ),
    "one exposed name twice": (
        lambda w: w["exposed_parameters"].append({"name": "width", "task_id": 1, "task_param_name": "size"}),
        "exposed_duplicate",
        "/exposed_parameters/1/name",
        'name "width"',
    ),
    "exposed parameters null": (lambda w: w.update(exposed_parameters=None), "workflow_structure", "/exposed_parameters", "is null"),
    # surroundings
    "hardware a string": (lambda w: w.update(hardware_config="big"), "workflow_structure", "/hardware_config", "write an object"),
    "negative memory": (lambda w: w["hardware_config"].update(min_ram=-8), "hardware_config", "/hardware_config/min_ram", "is -8"),
    "memory as text": (lambda w: w["hardware_config"].update(min_ram="8"), "hardware_config", "/hardware_config/min_ram", "0 to 16384"),
    "memory in bytes": (lambda w: w["hardware_config"].update(min_ram=8 * 2**30), "hardware_config", "/hardware_config/min_ram", "16384"),
    "gpu by number": (
        lambda w: w["hardware_config"].update(is_gpu_required=1),
        "hardware_config",
        "/hardware_config/is_gpu_required",
        "true or",
    ),
    "api a string": (lambda w: w.update(api="0.16"), "workflow_structure", "/api", "write an object"),
    "metadata a list": (lambda w: w.update(metadata=[]), "workflow_structure", "/metadata", "is a list"),
    "description a number": (lambda w: w["metadata"].update(description=3), "workflow_structure", "/metadata/description", "a number"),
    "description endless": (
        lambda w: w["metadata"].update(description="x" * 10_001),
        "workflow_structure",
        "/metadata/description",
        "10001",
    ),
    "workflow name empty": (lambda w: w["metadata"].update(name=""), "workflow_name", "/metadata/name", "is empty"),
    "workflow name a number": (lambda w: w["metadata"].update(name=7), "workflow_name", "/metadata/name", "a number (7)"),
    "workflow name padded": (lambda w: w["metadata"].update(name=" edges"), "workflow_name", "/metadata/name", "with a space"),
    "workflow name a path": (lambda w: w["metadata"].update(name="a/b"), "workflow_name", "/metadata/name", "slash"),
    "workflow name an option": (lambda w: w["metadata"].update(name="--name"), "workflow_name", "/metadata/name", "dash"),
    "workflow name of two lines": (lambda w: w["metadata"].update(name="a\nb"), "workflow_name", "/metadata/name", "printed"),
    "workflow name too long": (lambda w: w["metadata"].update(name="n" * 101), "workflow_name", "/metadata/name", "101 characters"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_workflow_that_would_not_run_as_written_is_refused_with_the_place(case: str) -> None:
    change, code, place, part = REFUSED[case]
    refused = refusal_of(changed(change))
    assert refused.code == code
    assert refused.fields is not None
    assert part in " ".join(refused.fields[place])
    assert f"at {place} of workflow.json" in refused.detail


ACCEPTED: dict[str, Change] = {
    "as it is": lambda w: None,
    "no api": lambda w: w.pop("api"),
    "nothing exposed": both(lambda w: w.pop("exposed_outputs"), lambda w: w.pop("exposed_parameters")),
    "no hardware": lambda w: w.pop("hardware_config"),
    "part of the hardware": lambda w: w.update(hardware_config={"min_ram": 0.5}),
    "no inputs and outputs declared": lambda w: [data(w, index).pop(key) for index in (0, 1) for key in ("inputs", "outputs")],
    "no parameters declared": lambda w: data(w).pop("parameters"),
    "no language": lambda w: data(w).pop("language"),
    "keys of a later engine": both(lambda w: w.update(later={"x": 1}), lambda w: data(w).update(later=True)),
    "ids with gaps in any order": lambda w: w.update(
        tasks=[task(70), task(3)], connections=[connection(-1, 70), connection(70, 3)], exposed_outputs=[], exposed_parameters=[]
    ),
    "a task that nothing feeds": lambda w: w["connections"].pop(),
    "two inputs": lambda w: w["connections"].append(connection(-1, 1, source_index=1, target_index=1)),
    "two branches that join": both(
        lambda w: w["tasks"].extend([task(2), task(3)]),
        lambda w: w["connections"].extend([connection(0, 2), connection(1, 3), connection(2, 3, target_index=1)]),
    ),
    "the same algorithm twice": lambda w: w["tasks"].append(task(2)),
    "no connections": lambda w: w.update(connections=[]),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_the_engine_runs_is_accepted(case: str) -> None:
    checked = check_archive(io.BytesIO(pushed(changed(ACCEPTED[case]))))
    assert (checked.name, checked.description, checked.plugins) == ("edges", "finds edges", ())


@pytest.mark.parametrize("change", [lambda w: w.pop("metadata"), lambda w: w.update(metadata={})])
def test_a_workflow_without_a_name_gets_the_one_that_the_engine_gives(change: Change) -> None:
    checked = check_archive(io.BytesIO(pushed(changed(change))))
    assert (checked.name, checked.description) == ("Untitled", "")
    assert checked.data["metadata"] == {"name": "Untitled"}


def test_one_refusal_tells_of_everything_that_is_wrong() -> None:
    refused = refusal_of(
        changed(
            both(
                lambda w: w["connections"].append(connection(0, 9)),
                lambda w: w["exposed_outputs"][0].update(task_id=9),
                lambda w: w["metadata"].update(name=""),
            )
        )
    )
    assert refused.fields is not None
    assert set(refused.fields) == {"/connections/2/target_id", "/exposed_outputs/0/task_id", "/metadata/name"}
    assert "And 2 more" in refused.detail


def test_hundreds_of_faults_make_a_short_answer() -> None:
    refused = refusal_of(changed(lambda w: w["connections"].extend(connection(0, number) for number in range(100, 700))))
    assert refused.fields is not None
    assert len(refused.fields) == 20
    assert "And 599 more" in refused.detail


def test_too_many_tasks_connections_or_parameters_are_refused() -> None:
    limits = ArchiveLimits(tasks=1)
    assert refusal(pushed(), limits=limits).code == "too_many_tasks"
    assert "1 are allowed" in refusal(pushed(), limits=ArchiveLimits(connections=1)).detail
    assert "More than 0 parameters" in refusal(pushed(), limits=ArchiveLimits(parameters=0)).detail


@pytest.mark.parametrize("name", ["ocv_ocr_tesseract", "ocv_objectness_bing", "ocv_qrcode_detector"])
def test_an_algorithm_that_crashes_the_engine_is_refused_with_the_reason(name: str) -> None:
    refused = refusal_of(changed(lambda w: data(w, 1).update(name=name)))
    assert refused.code == "never_run"
    assert name in refused.detail
    assert "crashes" in refused.detail


def test_a_long_chain_is_followed_without_recursion() -> None:
    length = 500
    chain = {
        "tasks": [task(number) for number in range(length)],
        "connections": [connection(number - 1, number) for number in range(length)],
    }
    assert check_archive(io.BytesIO(pushed(chain))).name == "Untitled"
    chain["connections"].append(connection(length - 1, 0, target_index=1))
    assert refusal_of(chain).code == "cycle"


def test_names_from_the_workflow_cannot_break_a_client_that_renders_markup() -> None:
    refused = refusal_of(changed(lambda w: w["metadata"].update(name="[/bold]\u202e\x1b[31m/")))
    assert "[/" not in refused.detail.replace("[ /", "")
    assert "\x1b" not in refused.detail
    assert "\u202e" not in refused.detail
