"""What a workflow shows to its callers: exposed outputs and parameters, the hardware it asks for, its name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from controlplane.projects.archive.problems import Problems
from controlplane.projects.archive.shape import kind, read_object, read_objects, read_text, read_whole, shown
from controlplane.projects.archive.tasks import Task
from controlplane.projects.archive.wording import quoted

UNNAMED = "Untitled"
"""The name that the engine itself gives to a workflow without one."""
_LONGEST_NAME = 100
_LONGEST_DESCRIPTION = 10_000
_HARDWARE_CEILINGS = {"min_cpu": 1024, "min_ram": 16_384, "min_vram": 4_096}


def check_exposed(problems: Problems, document: dict[str, Any], tasks: Iterable[Task]) -> None:
    """Note exposed outputs and parameters that do not exist or stand twice; the engine ignores some and fails on others."""
    by_id = {task.task_id: task for task in tasks}
    outputs: set[tuple[int, int]] = set()
    for place, holder in read_objects(problems, document, "exposed_outputs", "", required=False):
        read_text(problems, holder, "description", place, required=False)
        task = _read_task_reference(problems, holder, place, by_id)
        index = read_whole(problems, holder, "task_output_index", place)
        if task is None or index is None:
            continue
        if task.outputs is not None and index >= task.outputs:
            message = f"The workflow exposes output {index} of {task}, which declares {task.outputs} (the first is 0)."
            problems.add("exposed_unknown", f"{place}/task_output_index", message)
        if (task.task_id, index) in outputs:
            problems.add("exposed_duplicate", place, f"The workflow exposes output {index} of {task} twice. Keep one.")
        outputs.add((task.task_id, index))
    names: set[str] = set()
    for place, holder in read_objects(problems, document, "exposed_parameters", "", required=False):
        _check_exposed_parameter(problems, holder, place, by_id, names)


def _check_exposed_parameter(problems: Problems, holder: dict[str, Any], place: str, by_id: dict[int, Task], names: set[str]) -> None:
    read_text(problems, holder, "description", place, required=False)
    name = read_text(problems, holder, "name", place, required=True)
    parameter = read_text(problems, holder, "task_param_name", place, required=True)
    task = _read_task_reference(problems, holder, place, by_id)
    if name in names:
        problems.add("exposed_duplicate", f"{place}/name", f"Two exposed parameters have the name {quoted(name)}. Rename one.")
    if name is not None:
        names.add(name)
    if task is not None and parameter is not None and task.parameters is not None and parameter not in task.parameters:
        message = (
            f"The workflow exposes the parameter {quoted(parameter)} of {task}, which does not have it. Remove it or correct its name."
        )
        problems.add("exposed_unknown", f"{place}/task_param_name", message)


def _read_task_reference(problems: Problems, holder: dict[str, Any], place: str, by_id: dict[int, Task]) -> Task | None:
    task_id = read_whole(problems, holder, "task_id", place)
    if task_id is not None and task_id not in by_id:
        problems.add("exposed_unknown", f"{place}/task_id", f"The workflow exposes a part of task {task_id}, which does not exist.")
    return None if task_id is None else by_id.get(task_id)


def check_surroundings(problems: Problems, document: dict[str, Any]) -> None:
    """Note an `api` or `hardware_config` that makes no sense."""
    read_text(problems, read_object(problems, document, "api", ""), "version", "/api", required=False)
    hardware = read_object(problems, document, "hardware_config", "")
    wanted = hardware.get("is_gpu_required", False)
    if not isinstance(wanted, bool):
        problems.add("hardware_config", "/hardware_config/is_gpu_required", f'"is_gpu_required" is {shown(wanted)}; write true or false.')
    for key, ceiling in _HARDWARE_CEILINGS.items():
        value = hardware.get(key, 0)
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or not 0 <= value <= ceiling:
            problems.add("hardware_config", f"/hardware_config/{key}", f'"{key}" is {shown(value)}; write a number from 0 to {ceiling}.')


def read_name(problems: Problems, document: dict[str, Any]) -> tuple[str, str]:
    """The name and the description of the workflow; a workflow without a name is `Untitled`, as in the engine."""
    metadata = read_object(problems, document, "metadata", "")
    description = metadata.get("description", "")
    if not isinstance(description, str) or len(description) > _LONGEST_DESCRIPTION:
        what = f"{len(description)} characters long" if isinstance(description, str) else kind(description)
        problems.add(
            "workflow_structure", "/metadata/description", f"The description is {what}; write at most {_LONGEST_DESCRIPTION} characters."
        )
        description = ""
    name = metadata.get("name", UNNAMED)
    wrong = _what_is_wrong(name)
    if wrong:
        problems.add(
            "workflow_name",
            "/metadata/name",
            f"The name of the workflow {wrong}. Write 1 to {_LONGEST_NAME} printable characters without slashes, not starting with a dash.",
        )
        name = UNNAMED
    return name, description


def _what_is_wrong(name: Any) -> str | None:
    if not isinstance(name, str):
        return f"is {kind(name)} ({shown(name)})"
    if not name.strip():
        return "is empty"
    if name != name.strip():
        return f"{quoted(name)} begins or ends with a space"
    if len(name) > _LONGEST_NAME:
        return f"has {len(name)} characters"
    if not name.isprintable() or "/" in name or "\\" in name:
        return f"{quoted(name)} holds a slash or a character that cannot be printed"
    return f"{quoted(name)} starts with a dash" if name.startswith("-") else None
