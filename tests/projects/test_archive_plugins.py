"""Plugins of a workflow: each one that is used must be in the archive as the engine loads it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from controlplane.projects.archive import check_archive
from tests.projects.archives import PLUGIN, Workflow, changed, pushed, refusal, task, zipped

FOUND = {"find_boxes__find_boxes": PLUGIN, "find_boxes__find_boxes_process": PLUGIN}


def using(name: str = "find_boxes", **data: Any) -> Workflow:
    """The sound workflow with its second task replaced by a plugin's."""
    others = {"language": 1, "url": f"file://{name}", **data}
    return changed(lambda workflow: workflow["tasks"].__setitem__(1, task(1, name, **others)))


def test_a_plugin_with_its_module_is_accepted() -> None:
    checked = check_archive(io.BytesIO(pushed(using(), **FOUND, find_boxes__more=PLUGIN)))
    assert checked.plugins == ("find_boxes",)


@pytest.mark.parametrize("data", [{"url": "file:///home/me/Ikomia/Plugins/Python/find_boxes"}, {"language": 0}])
def test_a_plugin_is_found_by_name_whatever_else_is_said_of_it(data: dict[str, Any]) -> None:
    assert check_archive(io.BytesIO(pushed(using(**data), **FOUND))).plugins == ("find_boxes",)


def test_folders_that_no_task_uses_are_left_alone() -> None:
    assert check_archive(io.BytesIO(pushed(using(), **FOUND, shared__code=""))).plugins == ("find_boxes",)


def test_missing_plugins_are_listed_beside_those_that_are_there() -> None:
    workflow = changed(lambda w: w["tasks"].extend(task(number, f"plugin_{number}", language=1) for number in (2, 3, 4)))
    refused = refusal(pushed(workflow, plugin_3__plugin_3=PLUGIN, plugin_3__plugin_3_process=PLUGIN))
    assert refused.code == "plugin_missing"
    assert 'Needed but not in the archive: "plugin_2", "plugin_4". In the archive: "plugin_3".' in refused.detail
    assert refused.fields is not None
    assert set(refused.fields) == {"/tasks/2/task_data/name", "/tasks/4/task_data/name"}


@pytest.mark.parametrize("data", [{"language": 1}, {"url": "file://ocv_canny"}])
def test_a_plugin_may_not_hide_behind_the_name_of_a_built_in_algorithm(data: dict[str, Any]) -> None:
    workflow = changed(lambda w: w["tasks"][1]["task_data"].update(**data))
    refused = refusal(pushed(workflow, ocv_canny__ocv_canny=PLUGIN, ocv_canny__ocv_canny_process=PLUGIN))
    assert refused.code == "plugin_name"
    assert "which would run instead" in refused.detail


def test_an_algorithm_that_is_neither_built_in_nor_in_the_archive_is_refused() -> None:
    workflow = changed(lambda w: w["tasks"][1]["task_data"].update(name="ocv_cany"))
    refused = refusal(pushed(workflow))
    assert refused.code == "plugin_missing"
    assert '"ocv_cany"' in refused.detail


@pytest.mark.parametrize(
    ("files", "code", "part"),
    [
        ({"find_boxes__find_boxes_process": PLUGIN}, "plugin_incomplete", 'lacks "find_boxes/find_boxes.py"'),
        ({"find_boxes__find_boxes": PLUGIN}, "plugin_incomplete", 'lacks "find_boxes/find_boxes_process.py"'),
        ({"find_boxes__src__find_boxes": PLUGIN}, "plugin_incomplete", "not deeper"),
        ({"find_boxes": PLUGIN}, "plugin_missing", "Add a folder"),
    ],
)
def test_a_folder_without_the_module_is_refused(files: dict[str, str], code: str, part: str) -> None:
    refused = refusal(pushed(using(), **files))
    assert refused.code == code
    assert part in refused.detail


def test_a_compiled_plugin_is_refused() -> None:
    archive = zipped({"workflow.json": json.dumps(using(language=0)), "find_boxes/libfind_boxes.so": b"\x7fELF"})
    assert refusal(archive).code == "plugin_not_python"


@pytest.mark.parametrize("url", ["https://example.com/find_boxes", "find_boxes", "C:\\plugins\\find_boxes"])
def test_a_plugin_that_lies_elsewhere_is_refused(url: str) -> None:
    refused = refusal(pushed(using(url=url), **FOUND))
    assert refused.code == "plugin_url"
    assert "Only plugins inside the archive run" in refused.detail


@pytest.mark.parametrize("name", ["../boxes", "find.boxes", "1boxes", "find boxes", "b" * 101, "b\u00f6xes"])
def test_a_plugin_name_that_is_no_module_name_is_refused(name: str) -> None:
    assert refusal(pushed(using(name))).code == "plugin_name"


def test_a_file_that_a_parameter_names_must_have_come_along() -> None:
    workflow = using(parameters=[{"name": "model", "value": "file://find_boxes/data/model.py"}])
    refused = refusal(pushed(workflow, **FOUND))
    assert refused.code == "parameter_file_missing"
    assert '"find_boxes/data/model.py"' in refused.detail
    assert check_archive(io.BytesIO(pushed(workflow, **FOUND, find_boxes__data__model="")))
