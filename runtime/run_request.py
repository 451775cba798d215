"""The body of a run: decoded and checked against the workflow before a worker sees it."""

from dataclasses import dataclass, field

import msgspec

from runtime.errors import InvalidRun, RequestRefused
from runtime.run_inputs import StorageReference, check_access, check_may_save, read_input
from runtime.settings import Settings
from runtime.wire import Job, JobInput, JobOutput
from runtime.workflow import Workflow, WorkflowTask


class OutputAsk(msgspec.Struct):
    """One wanted output."""

    task_name: str
    task_index: int = 0
    output_index: int | None = None
    save_temporary: bool = False


class ParameterSet(msgspec.Struct):
    """Parameter values for one task."""

    task_name: str
    task_index: int = 0
    parameters: dict[str, msgspec.Raw] = {}


class RunBody(msgspec.Struct):
    """The body of PUT /runs/{uuid}."""

    inputs: list[dict[str, msgspec.Raw]] = []
    outputs: list[OutputAsk] = []
    parameters: list[ParameterSet] = []


@dataclass(slots=True)
class CheckedRun:
    """A run that fits the workflow. `downloads` are the inputs that must be fetched before the job is complete."""

    job: Job
    downloads: dict[int, StorageReference] = field(default_factory=dict)

    @property
    def uses_storage(self) -> bool:
        """True when something comes from storage or goes there; a video, whose results always do, comes from there."""
        return bool(self.downloads) or any(output.save for output in self.job.outputs)


_decoder = msgspec.json.Decoder(RunBody)


def check_run(run: str, body: bytes, *, workflow: Workflow, settings: Settings, storage_token: str | None) -> CheckedRun:
    """Turn a body into a job; raises RequestRefused (400 for bad JSON, 422 for what does not fit the workflow)."""
    parsed = _decode(body)
    checked = CheckedRun(Job(run=run, inputs=[], outputs=_outputs(parsed, workflow), parameters=_parameters(parsed, workflow)))
    expected = workflow.expected_inputs()
    if len(parsed.inputs) < len(expected):
        raise InvalidRun("missing_input", f"the workflow takes {len(expected)} input(s), {len(parsed.inputs)} given")
    if any(output.save for output in checked.job.outputs):
        check_access("save_temporary", settings, storage_token)
        check_may_save("what has save_temporary", storage_token)
    for index, item in enumerate(parsed.inputs):
        given = read_input(f"inputs[{index}]", item, expected[index] if index < len(expected) else None)
        if isinstance(given, JobInput):
            checked.job.inputs.append(given)
        elif index < len(expected):
            given.check(f"inputs[{index}]", settings, storage_token)
            if given.kind == "VIDEO" and checked.job.outputs:
                check_may_save("what comes of a video", storage_token)
            checked.downloads[index] = given
            checked.job.inputs.append(JobInput(given.kind))
    return checked


def _decode(body: bytes) -> RunBody:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRun("invalid_run", f"the body does not describe a run: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestRefused(400, "invalid_json", f"the body is not JSON: {error}") from error


def _find_task(workflow: Workflow, name: str, index: int, where: str) -> WorkflowTask:
    same = workflow.by_name.get(name)
    if same is None:
        raise InvalidRun("unknown_task", f"{where}: the workflow has no task {name!r}; it has: {', '.join(workflow.by_name)}")
    if not 0 <= index < len(same):
        raise InvalidRun("unknown_task", f"{where}: task_index {index} of {name!r} does not exist; it goes from 0 to {len(same) - 1}")
    return same[index]


def _outputs(body: RunBody, workflow: Workflow) -> list[JobOutput]:
    outputs = []
    for number, ask in enumerate(body.outputs):
        where = f"outputs[{number}]"
        task = _find_task(workflow, ask.task_name, ask.task_index, where)
        if ask.output_index is not None and task.outputs and not 0 <= ask.output_index < len(task.outputs):
            known = ", ".join(f"{position} {name}" for position, name in enumerate(task.outputs))
            raise InvalidRun("unknown_output", f"{where}: {task.name!r} has no output {ask.output_index}; it has: {known}")
        outputs.append(JobOutput(task.position, ask.output_index, ask.save_temporary))
    return outputs


def _parameters(body: RunBody, workflow: Workflow) -> dict[int, dict[str, str]]:
    values: dict[int, dict[str, str]] = {}
    for number, given in enumerate(body.parameters):
        where = f"parameters[{number}]"
        task = _find_task(workflow, given.task_name, given.task_index, where)
        known = ", ".join(task.parameters) or "none"
        for name, raw in given.parameters.items():
            if name not in task.parameters:
                raise InvalidRun("unknown_parameter", f"{where}: {task.name!r} has no parameter {name!r}; it has: {known}")
            values.setdefault(task.position, {})[name] = _string_value(raw, f"{where}: parameter {name!r} of {task.name!r}")
    return values


def _string_value(raw: msgspec.Raw, where: str) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.ValidationError as error:
        shown = bytes(raw)[:60].decode("utf-8", "replace")
        raise InvalidRun("invalid_parameter", f"{where} must be a string, as all parameter values; got {shown}") from error
