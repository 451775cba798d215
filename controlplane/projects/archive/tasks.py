"""The tasks of a workflow: ids, algorithm names, parameters, declared inputs and outputs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from controlplane.projects.archive.algorithms import NEVER_RUN
from controlplane.projects.archive.limits import ArchiveLimits
from controlplane.projects.archive.problems import Problems
from controlplane.projects.archive.shape import kind, read_object, read_objects, read_text, read_whole, shown
from controlplane.projects.archive.wording import quoted

PYTHON = 1


@dataclass(frozen=True, slots=True)
class Task:
    """A task as declared; `inputs`, `outputs` and `parameters` are None where the workflow does not declare them."""

    place: str
    task_id: int
    name: str
    language: int | None
    url: str | None
    inputs: int | None
    outputs: int | None
    parameters: dict[str, str] | None

    def __str__(self) -> str:
        return f"task {self.task_id} {quoted(self.name)}"


def read_tasks(problems: Problems, document: dict[str, Any], *, limits: ArchiveLimits) -> list[Task]:
    """All well-formed tasks with distinct ids; everything else is noted in `problems`."""
    found = read_objects(problems, document, "tasks", "", required=True)
    if not found and not problems:
        problems.add("no_tasks", "/tasks", "The workflow has no tasks: there is nothing to run. Add a task and save it again.")
    if len(found) > limits.tasks:
        problems.add("too_many_tasks", "/tasks", f"The workflow has {len(found)} tasks; {limits.tasks} are allowed. Split it into several.")
        return []
    tasks: dict[int, Task] = {}
    for place, holder in found:
        task = _read_task(problems, place, holder, limits=limits)
        if task is None:
            continue
        first = tasks.setdefault(task.task_id, task)
        if first is not task:
            problems.add(
                "duplicate_task_id",
                f"{place}/task_id",
                f"Two tasks have the id {task.task_id}: {quoted(first.name)} and {quoted(task.name)}. Give each its own.",
            )
    return list(tasks.values())


def _read_task(problems: Problems, place: str, holder: dict[str, Any], *, limits: ArchiveLimits) -> Task | None:
    task_id = read_whole(problems, holder, "task_id", place)
    data = read_object(problems, holder, "task_data", place)
    inside = f"{place}/task_data"
    name = read_text(problems, data, "name", inside, required=True)
    url = read_text(problems, data, "url", inside, required=False)
    inputs, outputs = (_count_io(problems, data, key, inside) for key in ("inputs", "outputs"))
    language = data.get("language")
    if isinstance(language, bool) or not (language is None or language in (0, PYTHON)):
        problems.add("workflow_structure", f"{inside}/language", f'"language" is {shown(language)}; write 0 for C++ or 1 for Python.')
        language = None
    label = f"task {task_id if task_id is not None else '?'} {quoted(name or '?')}"
    parameters = _read_parameters(problems, data, inside, label, language, limits=limits)
    if name in NEVER_RUN:
        problems.add(
            "never_run",
            f"{inside}/name",
            f"The algorithm {quoted(name)} is never run here: {NEVER_RUN[name]}, and without it the engine crashes. Use another one.",
        )
    if task_id is None or name is None:
        return None
    return Task(place, task_id, name, language, url, inputs, outputs, parameters)


def _count_io(problems: Problems, data: dict[str, Any], key: str, place: str) -> int | None:
    if key not in data:
        return None
    for where, declared in read_objects(problems, data, key, place, required=False):
        read_text(problems, declared, "name", where, required=True)
    return len(data[key]) if isinstance(data[key], list) else None


def _read_parameters(
    problems: Problems, data: dict[str, Any], place: str, label: str, language: int | None, *, limits: ArchiveLimits
) -> dict[str, str] | None:
    if "parameters" not in data:
        return None
    found = read_objects(problems, data, "parameters", place, required=False)
    if len(found) > limits.parameters:
        problems.add("workflow_structure", f"{place}/parameters", f"More than {limits.parameters} parameters for {label}. Leave some out.")
        return None
    values: dict[str, str] = {}
    for where, parameter in found:
        name = read_text(problems, parameter, "name", where, required=True)
        if name is None:
            continue
        if name in values:
            problems.add(
                "duplicate_parameter", f"{where}/name", f"{label[0].upper()}{label[1:]} has the parameter {quoted(name)} twice. Keep one."
            )
        values[name] = str(parameter.get("value", ""))
        _check_value(problems, parameter, where, f"{label}, parameter {quoted(name)}", language)
    return values


def _check_value(problems: Problems, parameter: dict[str, Any], place: str, label: str, language: int | None) -> None:
    if "value" not in parameter:
        problems.add("parameter_not_text", f"{place}/value", f"The value of {label} is missing. Write a string or leave the parameter out.")
    elif not isinstance(parameter["value"], str):
        value = parameter["value"]
        advice = "Write a string or leave the parameter out." if value is None else f"Write the string {_as_text(value, language)}."
        problems.add(
            "parameter_not_text", f"{place}/value", f"The value of {label} is {kind(value)} ({shown(value)}), not a string. {advice}"
        )


def _as_text(value: Any, language: int | None) -> str:
    """The string that the engine reads as `value`: C++ algorithms take 1 for true, Python ones True."""
    if isinstance(value, bool):
        return quoted(str(value) if language == PYTHON else str(int(value)))
    return quoted(json.dumps(value, ensure_ascii=False))
