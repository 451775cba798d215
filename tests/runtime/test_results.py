"""Results: which outputs, in which order, in which form, and as inputs of another workflow."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.pictures import COFFEE, COINS
from tests.runtime.process import RuntimeProcess, image_input

Shared = Callable[[str], RuntimeProcess]


def pixels(result: dict[str, Any]) -> NDArray[np.uint8]:
    """The picture of an image result, as OpenCV reads it."""
    data = np.frombuffer(base64.b64decode(result["image"]), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def run(runtime: RuntimeProcess, *outputs: dict[str, Any], picture: Any = None) -> list[dict[str, Any]]:
    """The results of a run that asks for these outputs."""
    return runtime.results({"inputs": [picture or image_input(COFFEE)], "outputs": list(outputs)})


def test_nothing_asked_gives_nothing(shared_runtime: Shared) -> None:
    assert run(shared_runtime("edges")) == []


def test_outputs_come_in_the_order_asked_intermediate_tasks_too(shared_runtime: Shared) -> None:
    edges, smooth = run(shared_runtime("edges"), {"task_name": "ocv_canny"}, {"task_name": "ocv_blur"})
    assert set(np.unique(pixels(edges))) <= {0, 255}
    assert len(np.unique(pixels(smooth))) > 100
    assert pixels(edges).shape == pixels(smooth).shape[:2] == (400, 600)


def test_without_an_index_all_outputs_of_the_task_come(shared_runtime: Shared) -> None:
    every = run(shared_runtime("histogram"), {"task_name": "ocv_calc_hist"})
    assert [next(iter(result)) for result in every] == ["image", "NUMERIC_VALUES"]
    assert run(shared_runtime("histogram"), {"task_name": "ocv_calc_hist", "output_index": 1}) == every[1:]


def test_task_index_tells_tasks_of_one_name_apart(shared_runtime: Shared) -> None:
    asked = [{"task_name": "ocv_blur", "task_index": index} for index in (1, 0)]
    strong, weak = run(shared_runtime("two_blurs"), *asked)
    assert cv2.Laplacian(pixels(strong), cv2.CV_64F).var() < cv2.Laplacian(pixels(weak), cv2.CV_64F).var() / 4


def test_several_pictures_reach_the_inputs_in_their_order(shared_runtime: Shared) -> None:
    black = np.zeros((40, 60, 3), np.uint8)
    red, blue = black.copy(), black.copy()
    red[:, :, 2], blue[:, :, 0] = 255, 255
    inputs = [{"image": base64.b64encode(cv2.imencode(".png", picture)[1].tobytes()).decode()} for picture in (red, blue)]
    (both,) = shared_runtime("sum").results({"inputs": inputs, "outputs": [{"task_name": "ocv_add"}]})
    assert np.abs(pixels(both).reshape(-1, 3).mean(axis=0) - [255, 0, 255]).max() < 3


@pytest.mark.parametrize("kind", ["grey", "alpha", "16 bit", "jpeg", "bmp", "webp", "tiff"])
def test_pictures_of_all_kinds_are_taken(shared_runtime: Shared, kind: str) -> None:
    colour = cv2.imread(str(COFFEE))
    assert colour is not None
    picture: Any = colour
    suffix = {"jpeg": ".jpg", "bmp": ".bmp", "webp": ".webp", "tiff": ".tiff"}.get(kind, ".png")
    if kind == "grey":
        picture = colour[:, :, 0]
    elif kind == "alpha":
        picture = np.dstack([colour, colour[:, :, 0]])
    elif kind == "16 bit":
        picture = colour.astype(np.uint16) * 256
    encoded = cv2.imencode(suffix, picture)[1].tobytes()
    (result,) = run(shared_runtime("blur"), {"task_name": "ocv_blur"}, picture={"image": base64.b64encode(encoded).decode()})
    assert pixels(result).shape[:2] == (400, 600)


def test_colours_keep_their_order(shared_runtime: Shared) -> None:
    (result,) = run(shared_runtime("blur"), {"task_name": "ocv_blur"})
    original = cv2.imread(str(COFFEE))
    assert original is not None
    assert np.abs(pixels(result).astype(int).mean(axis=(0, 1)) - original.astype(int).mean(axis=(0, 1))).max() < 1


@pytest.fixture
def every_output(shared_runtime: Shared) -> list[dict[str, Any]]:
    """One result of each type."""
    return run(shared_runtime("every_output"), {"task_name": "every_output"})


BOX = {"x": 20, "y": 30, "width": 100, "height": 60}


def test_every_type_has_its_wrapper_and_its_place(every_output: list[dict[str, Any]]) -> None:
    names = "image image image OBJECT_DETECTION INSTANCE_SEGMENTATION SEMANTIC_SEGMENTATION KEYPOINTS TEXT NUMERIC_VALUES"
    names += " NUMERIC_VALUES BLOB_VALUES OUTPUT_GRAPHICS ARRAY DATA_DICT FILE_PATH FOLDER_PATH DNN_DATASET image"
    assert [" ".join(result) for result in every_output] == names.split()


def test_binary_and_label_pictures_are_exact(every_output: list[dict[str, Any]]) -> None:
    binary, label = pixels(every_output[1]), pixels(every_output[2])
    assert set(np.unique(binary)) == {0, 255}
    assert set(np.unique(label)) == {0, 7}
    assert binary[60, 60] == 255
    assert binary[10, 10] == 0


def test_detections_have_box_label_and_confidence(every_output: list[dict[str, Any]]) -> None:
    (found,) = every_output[3]["OBJECT_DETECTION"]["detections"]
    assert (found["box"], found["label"], found["confidence"]) == (BOX, "box", 0.5)
    (instance,) = every_output[4]["INSTANCE_SEGMENTATION"]["detections"]
    assert instance["box"] == BOX
    assert pixels({"image": instance["mask"]})[60, 60] == 255
    assert every_output[5]["SEMANTIC_SEGMENTATION"]["classes"] == ["ground", "box"]


def test_keypoints_have_two_coordinates(every_output: list[dict[str, Any]]) -> None:
    content = every_output[6]["KEYPOINTS"]
    assert content["names"] == ["corner", "middle"]
    assert content["objects"][0]["points"] == [{"index": 0, "x": 20, "y": 30}, {"index": 1, "x": 70, "y": 60}]


def test_texts_and_values_are_given(every_output: list[dict[str, Any]]) -> None:
    assert every_output[7]["TEXT"]["fields"][0]["text"] == "QUAY 7"
    assert every_output[8]["NUMERIC_VALUES"]["values"] == [["1.000000", "2.500000"]]
    assert every_output[9]["NUMERIC_VALUES"]["values"] == [["one", "two"]]
    assert every_output[10]["BLOB_VALUES"]["objects"][0][0]["values"] == [6000]
    assert every_output[11]["OUTPUT_GRAPHICS"]["items"][0]["width"] == 100


def test_what_the_engine_writes_no_json_for_is_written_by_the_runtime(every_output: list[dict[str, Any]]) -> None:
    array = every_output[12]["ARRAY"]
    assert (array["shape"], array["dtype"]) == ([2, 3, 3], "float32")
    assert len(struct.unpack("<18f", base64.b64decode(array["data"]))) == 18
    assert every_output[13]["DATA_DICT"]["shape"] == [400, 600, 3]
    assert every_output[13]["DATA_DICT"]["nothing"] is None
    assert every_output[14] == {"FILE_PATH": {"path": "/results/report.txt"}}
    assert every_output[15] == {"FOLDER_PATH": {"path": "/results"}}
    assert every_output[16] == {"DNN_DATASET": {"format": "", "images": [], "categories": {}}}
    assert every_output[17] == {"image": ""}


def test_results_of_one_workflow_are_inputs_of_another(shared_runtime: Shared, every_output: list[dict[str, Any]]) -> None:
    forwarded = [every_output[index] for index in (0, 3, 4, 5, 6, 7, 8, 10, 12, 13)]
    (answer,) = shared_runtime("receive").results({"inputs": forwarded, "outputs": [{"task_name": "receive"}]})
    received = answer["DATA_DICT"]
    assert received["IMAGE"] == [400, 600, 3]
    assert received["OBJECT_DETECTION"]["detections"][0]["box"] == BOX
    assert received["INSTANCE_SEGMENTATION"]["detections"][0]["mask"] == every_output[4]["INSTANCE_SEGMENTATION"]["detections"][0]["mask"]
    assert received["SEMANTIC_SEGMENTATION"]["mask"] == every_output[5]["SEMANTIC_SEGMENTATION"]["mask"]
    assert [point["x"] for point in received["KEYPOINTS"]["objects"][0]["points"]] == [20, 70]
    assert received["KEYPOINTS"]["links"] == every_output[6]["KEYPOINTS"]["links"]
    assert received["TEXT"] == every_output[7]["TEXT"]
    assert received["NUMERIC_VALUES"]["values"] == [["1.000000", "2.500000"]]
    assert received["BLOB_VALUES"]["objects"][0][0]["values"] == [6000]
    assert np.array(received["ARRAY"]).shape == (2, 3, 3)
    assert received["DATA_DICT"] == every_output[13]["DATA_DICT"]


def test_an_input_whose_content_is_wrong_fails_and_says_which(shared_runtime: Shared, every_output: list[dict[str, Any]]) -> None:
    forwarded = [every_output[index] for index in (0, 3, 4, 5, 6, 7, 8, 10, 12, 13)]
    forwarded[8] = {"ARRAY": {"shape": [5], "dtype": "object", "data": ""}}
    answer = shared_runtime("receive").run({"inputs": forwarded, "outputs": [{"task_name": "receive"}]})
    assert answer["error"]["code"] == "invalid_input"
    assert answer["error"]["message"].startswith("Input 8 (ARRAY) can't be read:")


def test_a_grey_picture_stays_grey(shared_runtime: Shared) -> None:
    (result,) = run(shared_runtime("blur"), {"task_name": "ocv_blur"}, picture=image_input(COINS))
    assert pixels(result).shape == (303, 384)
