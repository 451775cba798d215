"""Archives for tests: a small sound workflow, and ways to break it or the zip around it."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from controlplane.common.errors import InvalidInput
from controlplane.projects.archive import ArchiveLimits, check_archive

Workflow = dict[str, Any]
PLUGIN = "from ikomia import dataprocess\n"


def task(task_id: int, name: str = "ocv_blur", **data: Any) -> dict[str, Any]:
    """A task with one image input, a graphics input and one image output."""
    return {
        "task_id": task_id,
        "task_data": {
            "name": name,
            "language": 0,
            "inputs": [{"name": "IODataType.IMAGE"}, {"name": "IODataType.INPUT_GRAPHICS"}],
            "outputs": [{"name": "IODataType.IMAGE"}],
            "parameters": [{"name": "size", "value": "7"}],
            **data,
        },
    }


def connection(source: int, target: int, *, source_index: int = 0, target_index: int = 0) -> dict[str, int]:
    """A connection from an output to an input; source -1 is the input of the workflow."""
    return {"source_id": source, "source_index": source_index, "target_id": target, "target_index": target_index}


SOUND: Workflow = {
    "api": {"python_version": "3.11", "version": "0.16.1"},
    "connections": [connection(-1, 0), connection(0, 1)],
    "exposed_outputs": [{"description": "edges", "task_id": 1, "task_output_index": 0}],
    "exposed_parameters": [{"description": "", "name": "width", "task_id": 0, "task_param_name": "size"}],
    "hardware_config": {"is_gpu_required": False, "min_cpu": 2, "min_ram": 8, "min_vram": 0},
    "metadata": {"description": "finds edges", "keywords": "", "name": "edges"},
    "tasks": [task(0), task(1, "ocv_canny")],
}


def changed(change: Callable[[Workflow], object]) -> Workflow:
    """The sound workflow after `change` was applied to a copy of it."""
    workflow = copy.deepcopy(SOUND)
    change(workflow)
    return workflow


def zipped(files: Mapping[str, str | bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A plain zip of files by name."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return packed.getvalue()


def pushed(workflow: Workflow | None = None, **files: str | bytes) -> bytes:
    """An archive with the workflow and, by path with __ for /, other files (`a__b` is `a/b.py`)."""
    others = {f"{name.replace('__', '/')}.py": contents for name, contents in files.items()}
    return zipped({"workflow.json": json.dumps(workflow or SOUND), **others})


def refusal(archive: bytes, *, limits: ArchiveLimits | None = None) -> InvalidInput:
    """The refusal of an archive; fails the test if it is accepted or something else is raised."""
    with pytest.raises(InvalidInput) as caught:
        check_archive(io.BytesIO(archive), limits=limits or ArchiveLimits())
    return caught.value


def refusal_of(workflow: Workflow) -> InvalidInput:
    """The refusal of an otherwise sound archive with this workflow."""
    return refusal(pushed(workflow))
