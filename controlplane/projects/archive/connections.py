"""The connections of a workflow: they must join existing tasks, feed each input once and never run in a circle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controlplane.projects.archive.limits import ArchiveLimits
from controlplane.projects.archive.problems import Problems
from controlplane.projects.archive.shape import read_objects, read_whole
from controlplane.projects.archive.tasks import Task

ROOT = -1
"""The id that stands for the workflow's own input."""
_MOST_INPUTS = 64


@dataclass(frozen=True, slots=True)
class Connection:
    """Output `source_index` of a task (or input number `source_index` of the workflow) feeds an input of another task."""

    place: str
    source: int
    source_index: int
    target: int
    target_index: int


def check_connections(problems: Problems, document: dict[str, Any], tasks: Iterable[Task], *, limits: ArchiveLimits) -> None:
    """Note every connection that the engine would crash on, ignore or misread."""
    found = read_objects(problems, document, "connections", "", required=True)
    if len(found) > limits.connections:
        problems.add("workflow_structure", "/connections", f"The workflow has {len(found)} connections; {limits.connections} are allowed.")
        return
    by_id = {task.task_id: task for task in tasks}
    read = [_read_connection(problems, place, holder) for place, holder in found]
    sound = [connection for connection in read if connection is not None and _check_ends(problems, connection, by_id)]
    _check_inputs_fed_once(problems, sound, by_id)
    circle = find_circle(by_id, [(connection.source, connection.target) for connection in sound if connection.source != ROOT])
    if circle:
        path = " -> ".join(str(by_id[task_id]) for task_id in circle)
        problems.add("cycle", "/connections", f"The connections run in a circle: {path}. Remove one of them; data flows one way.")


def _read_connection(problems: Problems, place: str, holder: dict[str, Any]) -> Connection | None:
    source = read_whole(problems, holder, "source_id", place, lowest=ROOT)
    source_index = read_whole(problems, holder, "source_index", place)
    target = read_whole(problems, holder, "target_id", place)
    target_index = read_whole(problems, holder, "target_index", place)
    if source is None or source_index is None or target is None or target_index is None:
        return None
    return Connection(place, source, source_index, target, target_index)


def _check_ends(problems: Problems, connection: Connection, by_id: dict[int, Task]) -> bool:
    """Whether both ends exist and differ; indexes past what is declared are noted but leave the connection in the graph."""
    ends = (("source_id", connection.source), ("target_id", connection.target))
    missing = [(key, task_id) for key, task_id in ends if task_id not in by_id and not (key == "source_id" and task_id == ROOT)]
    for key, task_id in missing:
        problems.add(
            "connection_unknown_task",
            f"{connection.place}/{key}",
            f"A connection names task {task_id}, which does not exist. Existing ids: {_some(by_id)}.",
        )
    if missing:
        return False
    if connection.source == connection.target:
        problems.add("connection_self", connection.place, f"A connection leads from {by_id[connection.source]} to itself. Remove it.")
        return False
    _check_indexes(problems, connection, by_id)
    return True


def _check_indexes(problems: Problems, connection: Connection, by_id: dict[int, Task]) -> None:
    target = by_id[connection.target]
    if target.inputs is not None and connection.target_index >= target.inputs:
        problems.add(
            "connection_index",
            f"{connection.place}/target_index",
            f"A connection leads to input {connection.target_index} of {target}, which declares {target.inputs} (the first is 0).",
        )
    if connection.source == ROOT:
        if connection.source_index >= _MOST_INPUTS:
            message = f"A connection reads input {connection.source_index} of the workflow; {_MOST_INPUTS} are allowed (the first is 0)."
            problems.add("connection_index", f"{connection.place}/source_index", message)
        return
    source = by_id[connection.source]
    if source.outputs is not None and connection.source_index >= source.outputs:
        problems.add(
            "connection_index",
            f"{connection.place}/source_index",
            f"A connection reads output {connection.source_index} of {source}, which declares {source.outputs} (the first is 0).",
        )


def _check_inputs_fed_once(problems: Problems, connections: list[Connection], by_id: dict[int, Task]) -> None:
    fed: dict[tuple[int, int], Connection] = {}
    for connection in connections:
        first = fed.setdefault((connection.target, connection.target_index), connection)
        if first is not connection:
            problems.add(
                "connection_duplicate",
                connection.place,
                f"Input {connection.target_index} of {by_id[connection.target]} is fed twice, also by {first.place}. Keep one connection.",
            )


def find_circle(nodes: Iterable[int], edges: Iterable[tuple[int, int]]) -> list[int] | None:
    """The ids along one circle, its first id again at the end, or None. Iterative: depth is the user's to choose."""
    following: dict[int, list[int]] = {node: [] for node in nodes}
    for source, target in edges:
        following[source].append(target)
    done: set[int] = set()
    for start in following:
        path: list[int] = []
        waiting = [start]
        while waiting:
            node = waiting[-1]
            if path and path[-1] == node:
                done.add(path.pop())
                waiting.pop()
            elif node in done:
                waiting.pop()
            else:
                path.append(node)
                ahead = [target for target in following[node] if target not in done]
                back = next((target for target in ahead if target in path), None)
                if back is not None:
                    return [*path[path.index(back) :], back]
                waiting.extend(ahead)
    return None


def _some(by_id: dict[int, Task]) -> str:
    ids = sorted(by_id)
    return ", ".join(map(str, ids[:20])) + (" ..." if len(ids) > 20 else "")
