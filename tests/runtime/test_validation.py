"""What does not fit the workflow is refused at once, with a message that says what would."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests.pictures import COINS
from tests.runtime.process import RuntimeProcess, image_input


@pytest.fixture
def edges(shared_runtime: Callable[[str], RuntimeProcess]) -> RuntimeProcess:
    """Two tasks: ocv_blur, then ocv_canny."""
    return shared_runtime("edges")


def body(**changes: Any) -> dict[str, Any]:
    """A run that is right, but for the changes."""
    return {"inputs": [image_input(COINS)], "outputs": [{"task_name": "ocv_canny"}], "parameters": []} | changes


def blur(**parameters: Any) -> dict[str, Any]:
    """Changes that set parameters of the blur."""
    return {"parameters": [{"task_name": "ocv_blur", "parameters": parameters}]}


REFUSED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "unknown task": ({"outputs": [{"task_name": "ocv_nothing"}]}, "unknown_task", ["'ocv_nothing'", "ocv_blur, ocv_canny"]),
    "occurrence that does not exist": (
        {"outputs": [{"task_name": "ocv_blur", "task_index": 1}]},
        "unknown_task",
        ["task_index 1", "0 to 0"],
    ),
    "output that does not exist": (
        {"outputs": [{"task_name": "ocv_blur", "output_index": 3}]},
        "unknown_output",
        ["no output 3", "0 IMAGE"],
    ),
    "negative output": ({"outputs": [{"task_name": "ocv_blur", "output_index": -1}]}, "unknown_output", ["no output -1"]),
    "unknown task of parameters": ({"parameters": [{"task_name": "x", "parameters": {}}]}, "unknown_task", ["parameters[0]"]),
    "unknown parameter": (blur(kernel="3"), "unknown_parameter", ["'kernel'", "kSizeHeight", "kSizeWidth"]),
    "number as parameter": (blur(kSizeWidth=3), "invalid_parameter", ["'kSizeWidth' of 'ocv_blur' must be a string", "got 3"]),
    "null as parameter": (blur(kSizeWidth=None), "invalid_parameter", ["must be a string", "null"]),
    "object as parameter": (blur(kSizeWidth={"a": 1}), "invalid_parameter", ["must be a string"]),
    "saved result without access": (
        {"outputs": [{"task_name": "ocv_blur", "save_temporary": True}]},
        "not_supported",
        ["save_temporary: this deployment has no access to project storage"],
    ),
    "no input": ({"inputs": []}, "missing_input", ["takes 1 input"]),
    "input without type": ({"inputs": [{}]}, "invalid_input", ["inputs[0] must have exactly one key"]),
    "input with two types": ({"inputs": [{"image": "", "TEXT": {}}]}, "invalid_input", ["it has 2: image, TEXT"]),
    "input of unknown type": ({"inputs": [{"SOUND": {}}]}, "invalid_input", ["'SOUND'", "OBJECT_DETECTION"]),
    "input that is no object": ({"inputs": [{"TEXT": "hello"}]}, "wrong_input_type", ["is TEXT"]),
    "input of another type": ({"inputs": [{"TEXT": {"fields": []}}]}, "wrong_input_type", ["is TEXT", "expects IMAGE"]),
    "image that is no string": ({"inputs": [{"image": 5}]}, "invalid_image", ["must be a base64 string"]),
    "image that is no base64": ({"inputs": [{"image": "not base64!"}]}, "invalid_image", ["inputs[0].image is not base64"]),
    "empty image": ({"inputs": [{"image": ""}]}, "invalid_image", ["is empty"]),
    "base64 of something else": ({"inputs": [{"image": "aGVsbG8="}]}, "invalid_image", ["not an image in a supported format"]),
    "second input that is no base64": (
        {"inputs": [image_input(COINS), {"image": "?"}]},
        "invalid_image",
        ["inputs[1].image is not base64"],
    ),
    "storage without access": (
        {"inputs": [{"storage_object": {"url": "http://storage/v1/objects/?uid=1", "data_type": "image"}}]},
        "not_supported",
        ["no access to project storage"],
    ),
    "unknown type from storage": (
        {"inputs": [{"storage_object": {"url": "http://storage/v1/objects/?uid=1", "data_type": "sound"}}]},
        "invalid_input",
        ["'sound'", "video, file_path, folder_path"],
    ),
    "storage without an address": ({"inputs": [{"storage_object": {"data_type": "image"}}]}, "invalid_input", ["`url`"]),
    "inputs that are no list": ({"inputs": {"image": ""}}, "invalid_run", ["Expected `array`", "$.inputs"]),
    "output that is a string": ({"outputs": ["ocv_blur"]}, "invalid_run", ["$.outputs[0]"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_a_message(edges: RuntimeProcess, case: str) -> None:
    changes, code, parts = REFUSED[case]
    status, answer = edges.put_run(body(**changes))
    assert (status, answer["code"]) == (422, code)
    for part in parts:
        assert part in answer["detail"]


def test_what_is_not_json_is_a_bad_request(edges: RuntimeProcess) -> None:
    for content in (b"", b"{", b"hello", b"\xff\xfe"):
        status, answer = edges.put_run(content)
        assert (status, answer["code"]) == (400, "invalid_json")


def test_a_refused_run_is_not_known_and_may_be_sent_again(edges: RuntimeProcess) -> None:
    run = "0192f0c1-2a5b-7c3d-8e4f-5a6b7c8d9e0f"
    assert edges.put_run(body(outputs=[{"task_name": "x"}]), run)[0] == 422
    assert edges.request("GET", f"/runs/{run}")[0] == 404
    assert edges.run(body(), run)["state"] == "SUCCESS"


def test_a_picture_that_is_damaged_further_in_fails_with_a_message(edges: RuntimeProcess) -> None:
    damaged = base64.b64encode(COINS.read_bytes()[:60]).decode()
    answer = edges.run(body(inputs=[{"image": damaged}]))
    assert answer["state"] == "FAILURE"
    assert answer["error"] == {
        "code": "invalid_input",
        "message": "Input 0 (IMAGE) can't be read: the image is damaged or in a format that can't be decoded",
    }
    assert edges.run(body())["state"] == "SUCCESS"


def test_inputs_that_no_task_takes_are_ignored(edges: RuntimeProcess) -> None:
    further = [image_input(COINS), image_input(COINS), {"TEXT": {"fields": []}}]
    assert edges.results(body(inputs=further)) == edges.results(body())
