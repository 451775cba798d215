"""Runs on videos: once for each frame, pictures become one playable video, everything else one list."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.pictures import COINS
from tests.runtime.conftest import StartRuntime
from tests.runtime.fake_storage import Storage, reference
from tests.runtime.process import STORAGE_TOKEN, WORKFLOWS, RuntimeProcess, image_input
from tests.runtime.videos import LEVELS, describe_video, make_video

TIMES = [40 * number for number in range(20)]
IRREGULAR = [0, 40, 80, 200, 210, 500, 1000, 1040]
MASK, LABELS, DETECTIONS, FACTS, REPORT, VIDEO = range(1, 7)


def video_input(storage: Storage, content: bytes | None = None, **spec: Any) -> dict[str, Any]:
    """A stored video as an input."""
    return reference(storage.add(make_video(**spec) if content is None else content, "video/mp4"), "video")


def saved_list(storage: Storage, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a saved list."""
    assert result["storage_object"]["data_type"] == "json"
    entries: list[dict[str, Any]] = json.loads(storage.saved(result))
    return entries


def saved_video(storage: Storage, result: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A description of a saved video."""
    assert (result["storage_object"]["data_type"], result["storage_object"]["metadata"]["content_type"]) == ("video", "video/mp4")
    return describe_video(storage.saved(result), **spec)


def close_to(found: list[list[int]], levels: list[int]) -> bool:
    """True when each frame has that brightness, within what the encoding costs."""
    return len(found) == len(levels) and all(abs(value - level) <= 3 for mean, level in zip(found, levels, strict=True) for value in mean)


@pytest.fixture
def frames(stored_runtime: StartRuntime) -> RuntimeProcess:
    """A workflow that looks at frames."""
    return stored_runtime("frames")


def test_a_video_becomes_a_video_that_browsers_play(frames: RuntimeProcess, storage: Storage) -> None:
    (result,) = frames.stored_results([video_input(storage)], "frames", output_index=0)
    content = storage.saved(result)
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    made = saved_video(storage, result)
    assert (made["codec"], made["pix_fmt"], made["size"]) == ("h264", "yuv420p", [64, 48])
    assert (made["rate"], made["duration"], made["times"]) == (25.0, 0.8, TIMES)
    assert close_to(made["means"], [255 - level for level in LEVELS])


def test_a_frame_shows_what_was_made_of_the_frame_of_that_time(stored_runtime: StartRuntime, storage: Storage) -> None:
    (result,) = stored_runtime("blur").stored_results([video_input(storage)], "ocv_blur")
    assert close_to(saved_video(storage, result)["means"], LEVELS)


def test_every_output_of_a_video_keeps_its_place(frames: RuntimeProcess, storage: Storage) -> None:
    results = frames.stored_results([video_input(storage)], "frames")
    assert [next(iter(result)) for result in results] == ["storage_object"] * 6 + ["image"]
    assert results[VIDEO] == {"image": ""}
    mask, labels = saved_video(storage, results[MASK]), saved_video(storage, results[LABELS])
    assert close_to(mask["means"], [0] * 10 + [255] * 10)
    assert {mean[0] for mean in labels["means"][:10]} == {0}
    assert all(mean[0] > 50 for mean in labels["means"][10:])
    detections = saved_list(storage, results[DETECTIONS])
    assert [(entry["frame"], entry["time_ms"]) for entry in detections] == list(zip(range(20), map(float, TIMES), strict=True))
    assert [entry["OBJECT_DETECTION"]["detections"][0]["box"]["x"] for entry in detections] == list(range(20))
    facts = [entry["DATA_DICT"] for entry in saved_list(storage, results[FACTS])]
    assert [fact["count"] for fact in facts] == list(range(20))
    assert storage.saved(results[REPORT]).decode().splitlines() == [str(number) for number in range(20)]


def test_an_algorithm_begins_anew_with_each_video(frames: RuntimeProcess, storage: Storage) -> None:
    given = video_input(storage)
    for starts in (1, 2):
        (result,) = frames.stored_results([given], "frames", output_index=FACTS)
        facts = [entry["DATA_DICT"] for entry in saved_list(storage, result)]
        assert [(fact["count"], fact["starts"]) for fact in facts] == [(number, starts) for number in range(20)]


def test_optical_flow_sees_the_frame_before_but_none_of_another_run(stored_runtime: StartRuntime, storage: Storage, tmp_path: Path) -> None:
    content = json.loads((WORKFLOWS / "two_blurs/workflow.json").read_text())
    content["tasks"], content["connections"] = content["tasks"][:1], content["connections"][:1]
    content["tasks"][0]["task_data"] |= {"name": "ocv_farneback_flow", "parameters": []}
    (tmp_path / "flow").mkdir()
    (tmp_path / "flow/workflow.json").write_text(json.dumps(content))
    runtime, given = stored_runtime(tmp_path / "flow"), video_input(storage, corner=True)
    first, again = (runtime.stored_results([given], "ocv_farneback_flow")[0] for _ in range(2))
    assert saved_video(storage, first)["means"] == saved_video(storage, again)["means"]


def test_pictures_are_pictures_again_after_a_video(frames: RuntimeProcess, storage: Storage) -> None:
    body = {"inputs": [image_input(COINS)], "outputs": [{"task_name": "frames"}]}
    before = frames.results(body)
    frames.stored_results([video_input(storage)], "frames")
    after = frames.results(body)
    assert [before[index] for index in (0, MASK, LABELS)] == [after[index] for index in (0, MASK, LABELS)]


def test_irregular_times_are_kept(frames: RuntimeProcess, storage: Storage) -> None:
    given = video_input(storage, levels=LEVELS[:8], times=IRREGULAR)
    video, facts = (frames.stored_results([given], "frames", output_index=index)[0] for index in (0, FACTS))
    made = saved_video(storage, video)
    assert made["times"] == IRREGULAR
    assert close_to(made["means"], [255 - level for level in LEVELS[:8]])
    assert [entry["time_ms"] for entry in saved_list(storage, facts)] == [float(time) for time in IRREGULAR]


@pytest.mark.parametrize(
    ("spec", "rate"),
    [
        ({"suffix": ".avi", "codec": "mjpeg", "pix_fmt": "yuvj420p"}, 25.0),
        ({"suffix": ".webm", "codec": "libvpx"}, 25.0),
        ({"suffix": ".mkv", "rate": "30000/1001"}, 29.97),
        ({"suffix": ".mov", "rate": 60}, 60.0),
        ({"suffix": ".ts", "codec": "mpeg2video"}, 25.0),
    ],
    ids=["avi", "webm", "mkv", "mov", "ts"],
)
def test_videos_of_all_usual_kinds_are_taken(frames: RuntimeProcess, storage: Storage, spec: dict[str, Any], rate: float) -> None:
    (result,) = frames.stored_results([video_input(storage, **spec)], "frames", output_index=0)
    made = saved_video(storage, result)
    assert made["rate"] == pytest.approx(rate, rel=0.01)
    assert made["duration"] == pytest.approx(20 / rate, rel=0.01)
    assert len(made["means"]) == 20
    assert made["means"][0][0] == pytest.approx(245, abs=6)


def test_odd_sizes_become_even_ones(frames: RuntimeProcess, storage: Storage) -> None:
    given = video_input(storage, suffix=".avi", codec="ffv1", pix_fmt="bgr0", width=65, height=49)
    (result,) = frames.stored_results([given], "frames", output_index=0)
    made = saved_video(storage, result)
    assert made["size"] == [66, 50]
    assert close_to(made["means"], [255 - level for level in LEVELS])


def turned(content: bytes) -> bytes:
    """A video that says to be shown a quarter turn clockwise, as phones do (the matrix in its track header)."""
    place = content.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    return content[:place] + matrix + content[place + 36 :]


def test_a_turned_video_is_seen_upright(stored_runtime: StartRuntime, storage: Storage) -> None:
    given = video_input(storage, turned(make_video(corner=True, levels=[20] * 5)))
    (result,) = stored_runtime("blur").stored_results([given], "ocv_blur")
    made = saved_video(storage, result)
    assert made["size"] == [48, 64]
    top_left, top_right, bottom_left, bottom_right = made["corners"][0]
    assert top_right > 150 > max(top_left, bottom_left, bottom_right)


def test_pictures_that_change_their_size_are_fitted_and_missing_ones_left_out(frames: RuntimeProcess, storage: Storage) -> None:
    given = video_input(storage)
    (grown,) = frames.stored_results([given], "frames", output_index=0, parameters={"how": "grow", "at": "5"})
    assert saved_video(storage, grown)["size"] == [64, 48]
    assert close_to(saved_video(storage, grown)["means"], [255 - level for level in LEVELS])
    (blind,) = frames.stored_results([given], "frames", output_index=0, parameters={"how": "blind", "at": "5"})
    made = saved_video(storage, blind)
    assert made["times"] == [*TIMES[:5], *TIMES[6:]]
    assert close_to(made["means"], [255 - level for level in [*LEVELS[:5], *LEVELS[6:]]])


def test_pictures_stay_and_videos_go_in_step_to_the_end_of_the_shortest(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime = stored_runtime("sum")
    long, short = video_input(storage, levels=[20] * 20), video_input(storage, levels=list(range(10, 110, 10)))
    (result,) = runtime.stored_results([long, short], "ocv_add")
    assert close_to(saved_video(storage, result)["means"], [20 + level for level in range(10, 110, 10)])
    (still,) = runtime.stored_results([{"image": still_picture()}, short], "ocv_add")
    assert close_to(saved_video(storage, still)["means"], [40 + level for level in range(10, 110, 10)])


def still_picture() -> str:
    """A picture of brightness 40, as base64."""
    return base64.b64encode(cv2.imencode(".png", np.full((48, 64, 3), 40, np.uint8))[1].tobytes()).decode()


def test_results_of_a_video_are_inputs_of_another_run(frames: RuntimeProcess, storage: Storage) -> None:
    results = frames.stored_results([video_input(storage)], "frames")
    (again,) = frames.stored_results(results[:VIDEO], "frames", output_index=0)
    assert close_to(saved_video(storage, again)["means"], LEVELS)


def test_a_list_goes_in_step_with_its_video(stored_runtime: StartRuntime, storage: Storage, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    shutil.copytree(WORKFLOWS / "frames", folder)
    content = json.loads((folder / "workflow.json").read_text())
    content["connections"].append({"source_id": -1, "source_index": 1, "target_id": 0, "target_index": 2})
    (folder / "workflow.json").write_text(json.dumps(content))
    runtime, given = stored_runtime(folder), video_input(storage)
    empty = {"OBJECT_DETECTION": {"detections": [], "referenceImageIndex": 0}}
    (found,) = runtime.stored_results([given, empty], "frames", output_index=DETECTIONS)
    (facts,) = runtime.stored_results([given, found], "frames", output_index=FACTS)
    assert [entry["DATA_DICT"]["boxes"] for entry in saved_list(storage, facts)] == [[float(number)] for number in range(20)]
    error = runtime.stored_run([given, reference(storage.add(b'[{"frame":0,"TEXT":{}}]'), "json")], "frames")["error"]
    assert "Input 1 (JSON) can't be read: it is TEXT" in error["message"]


def cut_off() -> bytes:
    """A video that ends in its middle, its index in front."""
    content = make_video(container={"movflags": "faststart"})
    frames = content.index(b"mdat")
    return content[: (frames + len(content)) // 2]


DAMAGED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "not a video that can be read"),
    "text": (lambda: b"hello" * 100, "not a video that can be read"),
    "playlist": (
        lambda: b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "not a video that can be read",
    ),
    "list of files": (lambda: b"ffconcat version 1.0\nfile '/etc/passwd'\n", "not a video that can be read"),
    "without index": (lambda: make_video()[:-1000], "no picture track"),
    "cut off": (cut_off, "cut off or damaged after frame"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_video_fails_and_says_what_to_do(frames: RuntimeProcess, storage: Storage, case: str) -> None:
    make, part = DAMAGED[case]
    error = frames.stored_run([video_input(storage, make())], "frames", output_index=0)["error"]
    assert error["code"] == "invalid_input"
    assert error["message"].startswith("Input 0 (video) can't be read: ")
    assert part in error["message"]
    assert "convert it to MP4 (H.264)" in error["message"]
    assert storage.created == []
    assert frames.stored_run([video_input(storage)], "frames", output_index=0)["state"] == "SUCCESS"


def large_gif(side: int) -> bytes:
    """A picture of so many pixels that says nothing of nearly all of them: less than 100 bytes."""
    canvas = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    picture = b"\x21\xf9\x04\x04\0\0\0\0" + b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    return canvas + picture + b"\x3b"


def raw_video(**spec: Any) -> bytes:
    """Frames without a container, after which others of another size may follow."""
    return make_video(".h264", levels=[100] * 3, **spec)


TOO_LARGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "claimed": (lambda: large_gif(8000), "they have more pixels than that"),
    "stated": (lambda: raw_video(width=8192, height=4352), "they have 8192 x 4352 pixels"),
    "grown": (lambda: raw_video() + raw_video(width=8192, height=4352), "they have 8192 x 4352 pixels"),
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_pictures_too_large_to_decode_are_refused_before_they_are(frames: RuntimeProcess, storage: Storage, case: str) -> None:
    make, part = TOO_LARGE[case]
    error = frames.stored_run([video_input(storage, make())], "frames", output_index=0)["error"]
    assert (error["code"], part in error["message"]) == ("invalid_input", True), error
    assert "its pictures may have as many pixels as 8192 x 4320" in error["message"]
    assert frames.stored_run([video_input(storage)], "frames", output_index=0)["state"] == "SUCCESS"


def test_an_exception_says_in_which_frame(frames: RuntimeProcess, storage: Storage) -> None:
    given = video_input(storage)
    error = frames.stored_run([given], "frames", output_index=0, parameters={"how": "raise", "at": "7"})["error"]
    assert (error["code"], error["message"]) == ("task_failed", "In frame 7: Task frames failed: ValueError: this frame is odd")
    assert "in do_raise" in error["traceback"]
    assert storage.created == []


def test_a_worker_killed_in_a_video_leaves_nothing_and_the_run_is_tried_once_more(frames: RuntimeProcess, storage: Storage) -> None:
    given = video_input(storage)
    error = frames.stored_run([given], "frames", output_index=0, parameters={"how": "kill", "at": "7"})["error"]
    assert error["code"] == "engine_killed"
    run = str(uuid.uuid4())
    asked = [{"task_name": "frames", "parameters": {"how": "sleep", "at": "7"}}]
    body = {"inputs": [given], "outputs": [{"task_name": "frames"}], "parameters": asked}
    wait = frames.start_in_background(body, run, {"X-Storage-Token": STORAGE_TOKEN})
    for count in (1, 2):
        frames.wait_for_log("sleeping", run=run, count=count)
        os.kill(frames.workers()[0], signal.SIGKILL)
    assert wait()[1]["error"]["code"] == "engine_killed"
    assert frames.leftovers() == []
    assert frames.stored_run([given], "frames", output_index=0)["state"] == "SUCCESS"


def test_a_video_that_takes_too_long_is_stopped(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime, given = stored_runtime("frames", "--run-timeout", "3"), video_input(storage)
    error = runtime.stored_run([given], "frames", output_index=0, parameters={"how": "sleep", "at": "7"})["error"]
    assert error["code"] == "timeout"
    assert runtime.stored_run([given], "frames", output_index=0)["state"] == "SUCCESS"


def test_the_log_tells_how_far_a_long_video_is(frames: RuntimeProcess, storage: Storage) -> None:
    run, given = str(uuid.uuid4()), video_input(storage, levels=[100] * 200)
    assert frames.stored_run([given], "frames", run, output_index=0)["state"] == "SUCCESS"
    told = [line["message"] for line in frames.wait_for_log("video: ", run=run, count=9)]
    assert told == [f"video: {number} of about 200 frames" for number in range(20, 200, 20)]


def test_a_video_where_none_is_taken_is_refused(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime = stored_runtime("files")
    body = {"inputs": [reference("1", "video"), reference("2", "folder_path")], "outputs": []}
    status, answer = runtime.put_run(body, headers={"X-Storage-Token": STORAGE_TOKEN})
    assert (status, answer["code"]) == (422, "wrong_input_type")
    assert "inputs[0] is video, the workflow expects FILE_PATH there" in answer["detail"]


def test_the_time_of_a_run_leaves_transfers_out(frames: RuntimeProcess, storage: Storage) -> None:
    uid = storage.add(make_video(), "video/mp4")
    busy = (503, {"detail": "later"})
    storage.faults = [("GET", busy), ("GET", busy), ("GET", busy)]
    answer = frames.stored_run([reference(uid, "video")], "frames", output_index=0)
    assert answer["state"] == "SUCCESS"
    assert 0 < answer["duration_ms"] < 2000
