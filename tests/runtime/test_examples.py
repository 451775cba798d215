"""The example workflows give real results from real photographs."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from tests.pictures import COFFEE, COINS
from tests.runtime.process import EXAMPLES, RuntimeProcess, image_input

Shared = Callable[[str], RuntimeProcess]
COIN_COUNT = 24


def final_output(runtime: RuntimeProcess, task: str, picture: dict[str, str], index: int) -> Any:
    """The content of one output of a task."""
    (result,) = runtime.results({"inputs": [picture], "outputs": [{"task_name": task, "output_index": index}]})
    return next(iter(result.values()))


@pytest.mark.parametrize("name", sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()))
def test_every_example_runs(shared_runtime: Shared, name: str) -> None:
    runtime = shared_runtime(name)
    workflow = runtime.request("GET", "/workflow")[1]
    asked = [{"task_name": task["task_data"]["name"]} for task in workflow["tasks"]]
    results = runtime.results({"inputs": [image_input(COINS)], "outputs": asked})
    assert len(results) == sum(len(task["task_data"]["outputs"]) for task in workflow["tasks"])


def test_detect_objects_finds_every_coin(shared_runtime: Shared) -> None:
    found = final_output(shared_runtime("detect_objects"), "detect_objects", image_input(COINS), 1)["detections"]
    assert len(found) == COIN_COUNT
    assert all(30 < detection["box"]["width"] < 70 and 0.8 < detection["confidence"] <= 1 for detection in found)


def test_segment_objects_gives_a_mask_inside_each_box(shared_runtime: Shared) -> None:
    found = final_output(shared_runtime("segment_objects"), "segment_objects", image_input(COINS), 1)["detections"]
    assert len(found) == COIN_COUNT
    for instance in found:
        mask = cv2.imdecode(np.frombuffer(base64.b64decode(instance["mask"]), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        box = instance["box"]
        assert cv2.boundingRect(mask) == (box["x"], box["y"], box["width"], box["height"])


def test_find_keypoints_marks_each_coin(shared_runtime: Shared) -> None:
    content = final_output(shared_runtime("find_keypoints"), "find_keypoints", image_input(COINS), 1)
    assert content["names"] == ["left", "top", "right", "bottom", "centre"]
    assert [link["index2"] for link in content["links"]] == [4, 4, 4, 4]
    assert len(content["objects"]) == COIN_COUNT
    for coin in content["objects"]:
        left, top, right, bottom, centre = coin["points"]
        assert left["x"] < centre["x"] < right["x"]
        assert top["y"] < centre["y"] < bottom["y"]


def test_read_text_reads_a_sign_in_a_photograph(shared_runtime: Shared) -> None:
    photograph = cv2.imread(str(COFFEE))
    assert photograph is not None
    cv2.rectangle(photograph, (40, 300), (420, 380), (235, 240, 245), -1)
    cv2.putText(photograph, "QUAY 7 BERTH 24", (55, 350), cv2.FONT_HERSHEY_DUPLEX, 1.2, (30, 30, 35), 2, cv2.LINE_AA)
    picture = {"image": base64.b64encode(cv2.imencode(".jpg", photograph)[1].tobytes()).decode()}
    (field,) = final_output(shared_runtime("read_text"), "read_text", picture, 1)["fields"]
    assert field["text"] == "QUAY 7 BERTH 24"
    assert 0.7 < field["confidence"] < 1
    assert field["polygon"][0]["y"] > 300


def test_histogram_counts_every_pixel(shared_runtime: Shared) -> None:
    values = final_output(shared_runtime("histogram"), "ocv_calc_hist", image_input(COINS), 1)["values"]
    assert sum(float(value) for value in values[0]) == 384 * 303
