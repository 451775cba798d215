"""The body of a run: decoded and checked against the workflow before a worker sees it."""

from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec

from runtime.errors import InvalidRun, RequestRefused
from runtime.images import check_image, decode_base64
from runtime.settings import Settings
from runtime.wire import Job, JobInput, JobOutput
from runtime.workflow import Workflow, WorkflowTask

IMAGE_TYPES = frozenset({"IMAGE", "IMAGE_BINARY", "IMAGE_LABEL"})
FRAME_TYPES = frozenset({"VIDEO", "VIDEO_BINARY", "VIDEO_LABEL", "LIVE_STREAM", "LIVE_STREAM_BINARY", "LIVE_STREAM_LABEL"})
GRAPHICS_TYPES = frozenset({"INPUT_GRAPHICS", "OUTPUT_GRAPHICS"})
JSON_TYPES = frozenset(
    {
        "OBJECT_DETECTION",
        "INSTANCE_SEGMENTATION",
        "SEMANTIC_SEGMENTATION",
        "KEYPOINTS",
        "TEXT",
        "NUMERIC_VALUES",
        "BLOB_VALUES",
        "DATA_DICT",
        "ARRAY",
        *GRAPHICS_TYPES,
    }
)


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


class StorageReference(msgspec.Struct):
    """A `storage_object` input; `url` is the address of the object's metadata."""

    url: str
    data_type: str = "image"


@dataclass(slots=True)
class CheckedRun:
    """A run that fits the workflow. `downloads` are the inputs that must be fetched before the job is complete."""

    job: Job
    downloads: dict[int, StorageReference] = field(default_factory=dict)


_decoder = msgspec.json.Decoder(RunBody)


def check_run(run: str, body: bytes, *, workflow: Workflow, settings: Settings, storage_token: str | None) -> CheckedRun:
    """Turn a body into a job; raises RequestRefused (400 for bad JSON, 422 for what does not fit the workflow)."""
    parsed = _decode(body)
    checked = CheckedRun(Job(run=run, inputs=[], outputs=_outputs(parsed, workflow), parameters=_parameters(parsed, workflow)))
    expected = workflow.expected_inputs()
    if len(parsed.inputs) < len(expected):
        raise InvalidRun("missing_input", f"the workflow takes {len(expected)} input(s), {len(parsed.inputs)} given")
    for index, item in enumerate(parsed.inputs):
        _check_input(checked, index, item, expected[index] if index < len(expected) else set(), settings, storage_token)
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
        if ask.save_temporary:
            raise InvalidRun("not_supported", f"{where}: save_temporary needs project storage, which this deployment does not offer yet")
        if ask.output_index is not None and task.outputs and not 0 <= ask.output_index < len(task.outputs):
            known = ", ".join(f"{position} {name}" for position, name in enumerate(task.outputs))
            raise InvalidRun("unknown_output", f"{where}: {task.name!r} has no output {ask.output_index}; it has: {known}")
        outputs.append(JobOutput(task.position, ask.output_index))
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


def _check_input(
    checked: CheckedRun, index: int, item: dict[str, msgspec.Raw], expected: set[str], settings: Settings, token: str | None
) -> None:
    where = f"inputs[{index}]"
    if len(item) != 1:
        raise InvalidRun("invalid_input", f"{where} must have exactly one key (its type), it has {len(item)}: {', '.join(item) or 'none'}")
    ((kind, raw),) = item.items()
    if kind == "storage_object":
        _check_type("IMAGE", expected, where)
        checked.downloads[index] = _storage_reference(raw, where, settings, token)
        checked.job.inputs.append(JobInput("IMAGE", b""))
    elif kind == "image":
        _check_type("IMAGE", expected, where)
        data = decode_base64(_text(raw, where), f"{where}.image")
        check_image(data, f"{where}.image")
        checked.job.inputs.append(JobInput("IMAGE", data))
    elif kind in JSON_TYPES:
        _check_type(kind, expected, where)
        content = bytes(raw)
        if not content.startswith(b"{"):
            raise InvalidRun("invalid_input", f"{where}.{kind} must be an object")
        checked.job.inputs.append(JobInput(kind, content))
    else:
        _refuse_kind(kind, where)


def _refuse_kind(kind: str, where: str) -> NoReturn:
    accepted = ", ".join(["image", "storage_object", *sorted(JSON_TYPES)])
    raise InvalidRun("invalid_input", f"{where} has the unknown type {kind!r}; accepted are: {accepted}")


def _text(raw: msgspec.Raw, where: str) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.ValidationError as error:
        raise InvalidRun("invalid_image", f"{where}.image must be a base64 string") from error


def _family(kind: str) -> str:
    if kind in IMAGE_TYPES or kind in FRAME_TYPES:
        return "IMAGE"
    return "GRAPHICS" if kind in GRAPHICS_TYPES else kind


def _check_type(kind: str, expected: set[str], where: str) -> None:
    """An input that no task is connected to may be anything: results of another deployment are passed on whole."""
    if expected and _family(kind) not in {_family(name) for name in expected}:
        raise InvalidRun("wrong_input_type", f"{where} is {kind}, the workflow expects {' or '.join(sorted(expected))} there")


def _storage_reference(raw: msgspec.Raw, where: str, settings: Settings, token: str | None) -> StorageReference:
    try:
        reference = msgspec.json.decode(raw, type=StorageReference)
    except msgspec.ValidationError as error:
        raise InvalidRun("invalid_input", f"{where}.storage_object: {error}") from error
    if reference.data_type != "image":
        raise InvalidRun("not_supported", f"{where}: storage objects of data_type {reference.data_type!r} are not supported yet, image is")
    if settings.storage_socket is None or settings.storage_origin is None:
        raise InvalidRun("not_supported", f"{where}: this deployment has no access to project storage")
    if not token:
        raise InvalidRun("no_storage_token", f"{where}: the request's token does not give access to project storage")
    if not same_origin(reference.url, settings.storage_origin):
        raise InvalidRun("wrong_storage", f"{where}: storage objects must come from {settings.storage_origin}")
    return reference


def same_origin(url: str, origin: str) -> bool:
    """True when `url` is an absolute address on exactly that scheme, host and port, without credentials."""
    try:
        given, allowed = urlsplit(url), urlsplit(origin)
    except ValueError:
        return False
    return (given.scheme, given.netloc) == (allowed.scheme, allowed.netloc) and bool(given.netloc)
