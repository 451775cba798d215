"""Results that are saved as temporary objects: every type, in its place, and nothing left on the disk."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from typing import Any

import pytest

from tests.pictures import COFFEE, COINS
from tests.runtime.conftest import StartRuntime
from tests.runtime.fake_storage import Storage, reference
from tests.runtime.process import STORAGE_TOKEN, RuntimeProcess, image_input
from tests.runtime.test_archives import zip_of

HEADERS = {"X-Storage-Token": STORAGE_TOKEN}
PICTURES = {0: "image/jpeg", 1: "image/png", 2: "image/png"}
EMPTY = (16, 17)


@pytest.fixture
def files(stored_runtime: StartRuntime) -> RuntimeProcess:
    """A workflow that gives files."""
    return stored_runtime("files")


def file_inputs(storage: Storage) -> list[dict[str, Any]]:
    """What that workflow takes."""
    folder = reference(storage.add(zip_of({"a": b"1"}), "application/zip", is_directory_archive=True), "folder_path")
    return [reference(storage.add(b"hello", "text/plain"), "file_path"), folder]


def test_every_type_is_saved_as_it_would_stand_inline(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime, indexes = stored_runtime("every_output"), [index for index in range(18) if index not in (14, 15)]
    asked = [{"task_name": "every_output", "output_index": index, "save_temporary": save} for index in indexes for save in (False, True)]
    answer = runtime.put_run({"inputs": [image_input(COFFEE)], "outputs": asked}, headers=HEADERS)[1]
    inline = dict(zip(indexes, answer["results"][::2], strict=True))
    saved = dict(zip(indexes, answer["results"][1::2], strict=True))
    for index, result in saved.items():
        if index in EMPTY:
            assert result == inline[index]
        elif index in PICTURES:
            assert storage.saved(result) == base64.b64decode(inline[index]["image"])
            assert result["storage_object"]["data_type"] == "image"
            assert result["storage_object"]["metadata"]["content_type"] == PICTURES[index]
        else:
            assert json.loads(storage.saved(result)) == inline[index]
            assert result["storage_object"]["data_type"] == "json"
            assert result["storage_object"]["metadata"]["content_type"] == "application/json"
    assert runtime.leftovers() == []


def test_files_and_folders_are_saved_whole(files: RuntimeProcess, storage: Storage) -> None:
    facts, file, folder = files.stored_results(file_inputs(storage), "files", save_temporary=True)
    assert json.loads(storage.saved(facts))["DATA_DICT"]["names"] == ["a"]
    assert storage.saved(file) == b"label,count\nbox,3\n"
    assert (file["storage_object"]["data_type"], file["storage_object"]["metadata"]["content_type"]) == ("file_path", "text/csv")
    with zipfile.ZipFile(io.BytesIO(storage.saved(folder))) as archive:
        assert {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")} == {
            "one.txt": b"1",
            "deeper/two.txt": b"2",
        }
    assert folder["storage_object"]["metadata"]["is_directory_archive"] is True
    again = files.stored_results([file, folder], "files", output_index=0)
    assert again[0]["DATA_DICT"]["names"] == ["deeper", "deeper/two.txt", "one.txt"]


def test_a_path_that_was_not_given_keeps_its_place(files: RuntimeProcess, storage: Storage) -> None:
    results = files.stored_results(file_inputs(storage), "files", save_temporary=True, parameters={"forget": "1"})
    assert results[1:] == [{"FILE_PATH": {"path": ""}}, {"FOLDER_PATH": {"path": ""}}]


@pytest.mark.parametrize(
    ("parameters", "part"),
    [
        ({"file": "/etc/passwd"}, "/etc/passwd is not below the folder for temporary files"),
        ({"file": "{home}/none.txt"}, "there is no file"),
        ({"file": "{home}/../bundle/workflow.json"}, "is not below the folder for temporary files"),
        ({"folder": "{home}"}, "is not below the folder for temporary files"),
        ({"folder": "/"}, "is not below the folder for temporary files"),
        ({"folder": "{home}/none"}, "there is no folder"),
        ({"link": "/etc"}, "is a link, folders are stored without links"),
    ],
    ids=["outside", "missing", "beside", "base", "root", "missing folder", "link"],
)
def test_what_lies_elsewhere_is_not_saved(files: RuntimeProcess, storage: Storage, parameters: dict[str, str], part: str) -> None:
    filled = {name: value.replace("{home}", str(files.home)) for name, value in parameters.items()}
    error = files.stored_run(file_inputs(storage), "files", save_temporary=True, parameters=filled)["error"]
    assert (error["code"], error["task"]) == ("output_failed", "files")
    assert part in error["message"]
    assert storage.created == []


def test_a_link_out_of_the_folder_for_temporary_files_is_not_followed(files: RuntimeProcess, storage: Storage) -> None:
    link = files.home / "innocent.txt"
    link.symlink_to("/etc/passwd")
    error = files.stored_run(file_inputs(storage), "files", save_temporary=True, parameters={"file": str(link)})["error"]
    assert "is not below the folder for temporary files" in error["message"]


def test_files_of_another_run_are_not_saved(files: RuntimeProcess, storage: Storage) -> None:
    storage.hold_uploads()
    body = {"inputs": file_inputs(storage), "outputs": [{"task_name": "files", "save_temporary": True}]}
    wait = files.start_in_background(body, "0192f0c1-2a5b-7c3d-8e4f-5a6b7c8d9e0f", HEADERS)
    assert storage.sending.acquire(timeout=60)
    (process,) = files.home.glob("runtime-*")
    (other,) = files.leftovers()
    link = files.home / "innocent"
    link.symlink_to(other / "input-0")
    for name, path in (
        ("file", other / "input-0/object.txt"),
        ("file", link / "object.txt"),
        ("file", process / "lock"),
        ("folder", other),
        ("folder", link),
    ):
        assert path.exists()
        asked = [{"task_name": "files", "parameters": {name: str(path)}}]
        output = {"task_name": "files", "output_index": 1 if name == "file" else 2, "save_temporary": True}
        answer = files.put_run({"inputs": file_inputs(storage), "outputs": [output], "parameters": asked}, headers=HEADERS)[1]
        assert answer["error"]["code"] == "output_failed"
        assert "lies in a folder of other runs" in answer["error"]["message"]
    storage.release()
    assert wait()[1]["state"] == "SUCCESS"
    assert files.leftovers() == []


def test_some_results_are_saved_and_others_stand_inline(stored_runtime: StartRuntime, storage: Storage) -> None:
    asked = [
        {"task_name": "ocv_blur", "save_temporary": True},
        {"task_name": "ocv_canny"},
        {"task_name": "ocv_canny", "save_temporary": True},
    ]
    runtime = stored_runtime("edges")
    status, answer = runtime.put_run({"inputs": [image_input(COINS)], "outputs": asked}, headers=HEADERS)
    assert (status, [next(iter(result)) for result in answer["results"]]) == (200, ["storage_object", "image", "storage_object"])
    assert storage.saved(answer["results"][2]) == base64.b64decode(answer["results"][1]["image"])


def test_saved_results_are_inputs_of_another_run(stored_runtime: StartRuntime, storage: Storage) -> None:
    asked = [{"task_name": "every_output", "output_index": index, "save_temporary": True} for index in (0, 3, 4, 5, 6, 7, 8, 10, 12, 13)]
    body = {"inputs": [image_input(COFFEE)], "outputs": asked}
    forwarded = stored_runtime("every_output").put_run(body, headers=HEADERS)[1]["results"]
    (result,) = stored_runtime("receive").stored_results(forwarded, "receive")
    received = result["DATA_DICT"]
    assert received["IMAGE"] == [400, 600, 3]
    assert received["OBJECT_DETECTION"]["detections"][0]["label"] == "box"
    assert received["TEXT"]["fields"][0]["text"] == "QUAY 7"
    assert received["NUMERIC_VALUES"]["values"] == [["1.000000", "2.500000"]]


@pytest.mark.parametrize(("status", "detail"), [(403, "This token only reads."), (413, "The project has 10 MB left.")])
def test_a_refusal_of_storage_is_the_runs_message(stored_runtime: StartRuntime, storage: Storage, status: int, detail: str) -> None:
    runtime = stored_runtime("blur")
    storage.faults = [("POST", (status, {"code": "no", "detail": detail}))]
    answer = runtime.stored_run([image_input(COINS)], "ocv_blur", save_temporary=True)
    assert answer["error"] == {
        "code": "storage_refused",
        "message": f"project storage refused to store a result: it answered {status}: {detail}",
    }
    assert answer["duration_ms"] > 0
    assert runtime.stored_run([image_input(COINS)], "ocv_blur", save_temporary=True)["state"] == "SUCCESS"


def test_a_storage_that_stays_away_fails_the_run(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime = stored_runtime("blur")
    storage.faults = [("POST", 0)] * 5
    error = runtime.stored_run([image_input(COINS)], "ocv_blur", save_temporary=True)["error"]
    assert error["code"] == "storage_unavailable"
    assert "project storage could not store a result" in error["message"]
    assert len(storage.asked) == 5


def test_a_failed_run_saves_nothing(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime, parameters = stored_runtime("misbehave"), {"how": "abort"}
    error = runtime.stored_run([image_input(COINS)], "misbehave", save_temporary=True, parameters=parameters)["error"]
    assert error["code"] == "engine_crashed"
    assert storage.asked == []


def test_the_worker_is_free_while_results_go_to_storage(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime = stored_runtime("blur")
    storage.hold_uploads()
    body = {"inputs": [image_input(COINS)], "outputs": [{"task_name": "ocv_blur", "save_temporary": True}]}
    wait = runtime.start_in_background(body, "0192f0c1-2a5b-7c3d-8e4f-5a6b7c8d9e0f", HEADERS)
    assert storage.sending.acquire(timeout=60)
    assert runtime.request("GET", "/health")[1]["busy"] == 0
    assert runtime.results({"inputs": [image_input(COINS)], "outputs": [{"task_name": "ocv_blur"}]})[0]["image"]
    storage.release()
    assert wait()[1]["state"] == "SUCCESS"
