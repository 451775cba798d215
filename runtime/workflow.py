"""workflow.json as the HTTP process knows it: read, checked as a graph, and searched by task name.

The engine crashes on a connection to a missing task and on a cycle, so both are refused before it sees them.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from runtime.errors import InvalidWorkflow
from runtime.wire import TaskFacts

ROOT = -1

# These built-in algorithms crash the engine whenever they run without a model file.
NEVER_RUN = frozenset({"ocv_ocr_tesseract", "ocv_objectness_bing", "ocv_qrcode_detector"})


class Parameter(msgspec.Struct):
    """One saved parameter; the engine takes strings only."""

    name: str
    value: str


class PortType(msgspec.Struct):
    """One input or output of a task, for example `IODataType.IMAGE`."""

    name: str


class TaskData(msgspec.Struct):
    """What a task is and how it was set when the workflow was saved."""

    name: str
    parameters: list[Parameter] = []
    inputs: list[PortType] = []
    outputs: list[PortType] = []


class Task(msgspec.Struct):
    """One task of the graph."""

    task_id: int
    task_data: TaskData


class Connection(msgspec.Struct):
    """An edge; source -1 is the workflow's own input."""

    source_id: int
    source_index: int
    target_id: int
    target_index: int


class WorkflowFile(msgspec.Struct):
    """The parts of workflow.json that matter for running it."""

    tasks: list[Task]
    connections: list[Connection] = []


@dataclass(slots=True)
class WorkflowTask:
    """A task as requests address it: name and the n-th occurrence of that name."""

    position: int
    name: str
    occurrence: int
    parameters: list[str]
    inputs: list[str]
    outputs: list[str]


@dataclass(slots=True)
class Workflow:
    """A checked workflow. `raw` is the file as it was pushed."""

    raw: bytes
    tasks: list[WorkflowTask]
    connections: list[tuple[int, int, int, int]]
    by_name: dict[str, list[WorkflowTask]] = field(default_factory=dict)

    def learn(self, facts: list[TaskFacts]) -> None:
        """Complete the file's knowledge with what the engine says after loading it."""
        for task, fact in zip(self.tasks, facts, strict=True):
            task.parameters = list(dict.fromkeys([*task.parameters, *fact.parameters]))
            task.inputs = fact.inputs or task.inputs
            task.outputs = fact.outputs or task.outputs

    def expected_inputs(self) -> list[set[str]]:
        """For each workflow input the data types that the tasks fed by it ask for; empty where nothing is known."""
        expected: dict[int, set[str]] = defaultdict(set)
        for source, source_index, target, target_index in self.connections:
            if source != ROOT:
                continue
            types = self.tasks[target].inputs
            expected[source_index].update(types[target_index : target_index + 1])
        return [expected[index] for index in range(max(expected, default=-1) + 1)]


def read_workflow(path: Path) -> Workflow:
    """Read and check a workflow file; raises InvalidWorkflow with what is wrong and where."""
    try:
        raw = path.read_bytes()
        file = msgspec.json.decode(raw, type=WorkflowFile)
    except OSError as error:
        raise InvalidWorkflow(f"workflow.json can't be read: {error}") from error
    except msgspec.MsgspecError as error:
        raise InvalidWorkflow(f"workflow.json is not a workflow: {error}") from error
    positions = _positions(file)
    connections = _check_connections(file, positions)
    _check_cycles(file, connections)
    workflow = Workflow(raw=raw, tasks=[], connections=connections)
    for position, task in enumerate(file.tasks):
        _add_task(workflow, position, task.task_data)
    return workflow


def _add_task(workflow: Workflow, position: int, data: TaskData) -> None:
    if data.name in NEVER_RUN:
        raise InvalidWorkflow(f"task {data.name} can't be served: it crashes the engine without a model that it doesn't bring")
    same = workflow.by_name.setdefault(data.name, [])
    task = WorkflowTask(
        position=position,
        name=data.name,
        occurrence=len(same),
        parameters=[parameter.name for parameter in data.parameters],
        inputs=[_plain(port.name) for port in data.inputs],
        outputs=[_plain(port.name) for port in data.outputs],
    )
    same.append(task)
    workflow.tasks.append(task)


def _plain(type_name: str) -> str:
    return type_name.removeprefix("IODataType.")


def _positions(file: WorkflowFile) -> dict[int, int]:
    if not file.tasks:
        raise InvalidWorkflow("the workflow has no task")
    positions: dict[int, int] = {}
    for position, task in enumerate(file.tasks):
        if task.task_id in positions or task.task_id == ROOT:
            raise InvalidWorkflow(f"task id {task.task_id} is used twice or reserved ({task.task_data.name})")
        positions[task.task_id] = position
    return positions


def _check_connections(file: WorkflowFile, positions: dict[int, int]) -> list[tuple[int, int, int, int]]:
    checked = []
    for number, edge in enumerate(file.connections):
        for end, known in ((edge.source_id, {ROOT, *positions}), (edge.target_id, positions)):
            if end not in known:
                raise InvalidWorkflow(f"connection {number} refers to task {end}, which does not exist")
        if edge.source_index < 0 or edge.target_index < 0:
            raise InvalidWorkflow(f"connection {number} has a negative index")
        source = ROOT if edge.source_id == ROOT else positions[edge.source_id]
        checked.append((source, edge.source_index, positions[edge.target_id], edge.target_index))
    return checked


def _check_cycles(file: WorkflowFile, connections: list[tuple[int, int, int, int]]) -> None:
    """Take away tasks whose sources are all gone; what is left over lies on a cycle."""
    waiting: dict[int, int] = dict.fromkeys(range(len(file.tasks)), 0)
    targets: dict[int, list[int]] = defaultdict(list)
    for source, _, target, _ in connections:
        if source != ROOT:
            waiting[target] += 1
            targets[source].append(target)
    free = [position for position, count in waiting.items() if count == 0]
    while free:
        position = free.pop()
        del waiting[position]
        for target in targets[position]:
            waiting[target] -= 1
            if waiting[target] == 0:
                free.append(target)
    if waiting:
        names = ", ".join(file.tasks[position].task_data.name for position in waiting)
        raise InvalidWorkflow(f"the workflow has a cycle through: {names}")
