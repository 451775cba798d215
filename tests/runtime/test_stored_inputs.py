"""Runs whose inputs lie in project storage: each kind, each refusal, and nothing left on the disk."""

from __future__ import annotations

import io
import json
import os
import threading
import uuid
import zipfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pictures import COFFEE, COINS
from tests.runtime.conftest import StartRuntime
from tests.runtime.fake_storage import ORIGIN, Storage, reference
from tests.runtime.process import STORAGE_TOKEN, RuntimeProcess, image_input, wait_until_gone
from tests.runtime.test_archives import zip_of

Shared = Callable[[str], RuntimeProcess]
HEADERS = {"X-Storage-Token": STORAGE_TOKEN}
# A token as the control plane makes them: here, only what it says of itself matters.
READING = {"X-Storage-Token": "e30." + b64encode(json.dumps({"scope": "consume storage:read"}).encode()).decode().rstrip("=") + ".c2ln"}


def folder_input(storage: Storage, content: bytes = zip_of({"a.txt": b"1", "b/c.txt": b"22"}), **changes: Any) -> dict[str, Any]:
    """A stored folder as an input."""
    return reference(storage.add(content, "application/zip", is_directory_archive=True, **changes), "folder_path")


def test_a_picture_comes_from_storage(stored_runtime: StartRuntime, storage: Storage) -> None:
    given = reference(storage.add(COINS.read_bytes(), "image/png"), "image", metadata={"uid": "ignored"}, more=1)
    (result,) = stored_runtime("echo").stored_results([given], "echo")
    assert result == {"DATA_DICT": {"text": "", "width": 384, "height": 303}}


def test_a_file_and_a_folder_reach_the_workflow_as_paths(stored_runtime: StartRuntime, storage: Storage) -> None:
    file = reference(storage.add(b"hello", "text/plain", path="texts/my notes.txt"), "file_path")
    (result,) = stored_runtime("files").stored_results([file, folder_input(storage)], "files", output_index=0)
    assert result["DATA_DICT"] == {
        "name": "my notes.txt",
        "size": 5,
        "names": ["a.txt", "b", "b/c.txt"],
        "types": ["FILE_PATH", "FOLDER_PATH"],
    }


def test_a_folder_is_known_by_its_content_type_too(stored_runtime: StartRuntime, storage: Storage) -> None:
    file = reference(storage.add(b"", "text/csv"), "file_path")
    folder = reference(storage.add(zip_of({"a": b""}), "application/zip"), "folder_path")
    (result,) = stored_runtime("files").stored_results([file, folder], "files", output_index=0)
    assert (result["DATA_DICT"]["name"], result["DATA_DICT"]["names"]) == ("object.csv", ["a"])


@pytest.fixture
def every_type(shared_runtime: Shared) -> list[dict[str, Any]]:
    """What a workflow that takes many types wants, from another one; detections are at place 1."""
    every = shared_runtime("every_output").results({"inputs": [image_input(COFFEE)], "outputs": [{"task_name": "every_output"}]})
    return [every[index] for index in (0, 3, 4, 5, 6, 7, 8, 10, 12, 13)]


def test_json_comes_from_storage_with_its_wrapper_or_without(
    stored_runtime: StartRuntime, storage: Storage, every_type: list[dict[str, Any]]
) -> None:
    runtime, wrapper = stored_runtime("receive"), every_type[1]
    (plain,) = wrapper.values()
    uids = {wrapped: storage.add(json.dumps(content).encode(), "application/json") for wrapped, content in ((1, wrapper), (0, plain))}
    for data_type, wrapped in (("json", 1), ("OBJECT_DETECTION", 1), ("OBJECT_DETECTION", 0), ("object_detection", 0)):
        every_type[1] = reference(uids[wrapped], data_type)
        (result,) = runtime.stored_results(every_type, "receive")
        assert result["DATA_DICT"]["OBJECT_DETECTION"]["detections"][0]["box"] == {"x": 20, "y": 30, "width": 100, "height": 60}
    every_type[1] = reference(uids[0], "json")
    code, message = failing(runtime, every_type, "receive")
    assert code == "invalid_input"
    assert "Input 1 (JSON) can't be read: it must have one key that names its type, it has: detections" in message


def test_json_of_another_type_or_none_at_all_is_told(
    stored_runtime: StartRuntime, storage: Storage, every_type: list[dict[str, Any]]
) -> None:
    runtime = stored_runtime("receive")
    for content, part in (
        (b'{"TEXT":{"fields":[]}}', "it is TEXT, OBJECT_DETECTION is expected"),
        (b"hello", "malformed"),
        (b"[]", "list of frames"),
    ):
        every_type[1] = reference(storage.add(content, "application/json"), "json")
        code, message = failing(runtime, every_type, "receive")
        assert (code, part in message) == ("invalid_input", True), message


def test_what_no_task_takes_is_not_even_fetched(stored_runtime: StartRuntime, storage: Storage) -> None:
    further = [reference("gone", "video"), {"storage_object": {"url": "http://elsewhere.test/", "data_type": "json"}}]
    (result,) = stored_runtime("echo").stored_results([image_input(COINS), *further], "echo")
    assert result["DATA_DICT"]["width"] == 384
    assert storage.asked == []


def test_what_can_be_known_before_is_refused_at_once(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime, good = stored_runtime("echo"), reference("1", "image")
    elsewhere = {"storage_object": {"url": "http://elsewhere.test/v1/objects/?uid=1", "data_type": "image"}}
    spaced = {"storage_object": {"url": f"{ORIGIN}/v1/objects/a b", "data_type": "image"}}

    def refused(given: dict[str, Any], headers: dict[str, str], **ask: Any) -> tuple[int, str, str]:
        status, answer = runtime.put_run({"inputs": [given], "outputs": [{"task_name": "echo", **ask}]}, headers=headers)
        return status, answer["code"], answer["detail"]

    status, code, detail = refused(good, {})
    assert (status, code) == (422, "no_storage_token")
    assert f"GET {ORIGIN}/v1/projects/jwt/?endpoint=<this endpoint>&storage=true" in detail
    assert refused(image_input(COINS), {}, save_temporary=True)[:2] == (422, "no_storage_token")
    assert refused(image_input(COINS), READING, save_temporary=True)[:2] == (422, "read_only_token")
    assert refused(reference("1", "video"), READING)[:2] == (422, "read_only_token")
    assert refused(elsewhere, HEADERS)[:2] == (422, "wrong_storage")
    assert refused(spaced, HEADERS)[:2] == (422, "invalid_input")
    assert refused(reference("1", "sound"), HEADERS)[:2] == (422, "invalid_input")
    for kind in ("file_path", "folder_path", "json", "TEXT"):
        assert refused(reference("1", kind), HEADERS)[:2] == (422, "wrong_input_type")
    assert storage.asked == []


def failing(runtime: RuntimeProcess, inputs: list[Any], task: str) -> tuple[str, str]:
    """Code and message of a run that fails; nothing is left on the disk (checked by `stored_run`)."""
    error = runtime.stored_run(inputs, task)["error"]
    return error["code"], error["message"]


def test_each_refusal_names_the_input_leaves_nothing_and_the_next_run_works(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime = stored_runtime("echo", "--storage-limit-mb", "1")
    good = reference(storage.add(COINS.read_bytes(), "image/png"), "image")
    text = reference(storage.add(b"hello", "image/png"), "image")
    large = reference(storage.add(os.urandom((1 << 20) + 1), "image/png"), "image")
    huge = reference(storage.add(b"", size=101 << 20), "image")
    assert failing(runtime, [reference("gone", "image")], "echo")[0] == "storage_refused"
    assert failing(runtime, [text], "echo") == (
        "invalid_input",
        "Input 0 (image): the object is not an image in a supported format (JPEG, PNG, WebP, TIFF, BMP, GIF, JPEG 2000, PNM)",
    )
    code, message = failing(runtime, [large], "echo")
    assert (code, "a run may bring 1 MB" in message) == ("input_too_large", True)
    assert failing(runtime, [huge], "echo")[0] == "input_too_large"
    storage.faults = [("GET", (403, {"code": "forbidden", "detail": "This token is for another project."}))]
    assert failing(runtime, [good], "echo") == (
        "storage_refused",
        "Input 0 (image): project storage refused to describe "
        f"{good['storage_object']['url']}: it answered 403: This token is for another project.",
    )
    assert runtime.stored_run([good], "echo")["state"] == "SUCCESS"


def test_what_does_not_fit_the_disk_is_refused_before_it_is_fetched(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime = stored_runtime("files", "--storage-limit-mb", str(1 << 30))
    file = reference(storage.add(b"", size=1 << 49), "file_path")
    code, message = failing(runtime, [file, folder_input(storage)], "files")
    assert (code, "524288.00 GB are needed on the disk of this replica" in message) == ("disk_full", True)
    assert not any("contents" in path for _, path, _ in storage.asked)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (zip_of({"../../evil": b"1"}), "invalid_input"),
        (zip_of({"a": bytes(100 << 20)}), "invalid_input"),
        (b"hello", "invalid_input"),
        (zip_of({str(number): os.urandom(10) * 50_000 for number in range(5)}), "input_too_large"),
    ],
    ids=["traversal", "bomb", "no archive", "too much"],
)
def test_a_bad_archive_is_refused(stored_runtime: StartRuntime, storage: Storage, content: bytes, code: str) -> None:
    runtime = stored_runtime("files", "--storage-limit-mb", "200" if code == "invalid_input" else "2")
    file = reference(storage.add(b""), "file_path")
    assert failing(runtime, [file, folder_input(storage, content)], "files")[0] == code
    assert not list(runtime.home.rglob("evil"))
    assert runtime.stored_run([file, folder_input(storage)], "files")["state"] == "SUCCESS"


def test_a_deep_archive_is_refused_and_the_run_has_its_answer(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime = stored_runtime("files")
    deep = folder_input(storage, zip_of({"a/" * depth + "f": b"x" for depth in (400, 500, 800, 1600)}))
    code, message = failing(runtime, [reference(storage.add(b""), "file_path"), deep], "files")
    assert (code, "lies more than 64 folders deep" in message) == ("invalid_input", True)


def test_a_folder_that_is_no_archive_is_told(stored_runtime: StartRuntime, storage: Storage) -> None:
    file = reference(storage.add(b"hello", "text/plain"), "file_path")
    folder = reference(storage.add(b"hello", "text/plain"), "folder_path")
    code, message = failing(stored_runtime("files"), [file, folder], "files")
    assert (code, "this object is text/plain" in message) == ("invalid_input", True)


def test_a_storage_that_drops_connections_is_asked_again(stored_runtime: StartRuntime, storage: Storage) -> None:
    uid = storage.add(COINS.read_bytes(), "image/png")
    storage.faults = [("GET", 0), (f"GET /v1/contents/{uid}/", 1000), ("POST", 0)]
    (result,) = stored_runtime("echo").stored_results([reference(uid, "image")], "echo", save_temporary=True)
    assert json.loads(storage.saved(result))["DATA_DICT"]["width"] == 384


def test_the_process_answers_while_objects_come_and_only_a_few_come_at_a_time(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime, storage.gate = stored_runtime("echo"), threading.Event()
    body = {"inputs": [reference(storage.add(COINS.read_bytes(), "image/png"), "image")], "outputs": [{"task_name": "echo"}]}
    runs = [str(uuid.uuid4()) for _ in range(12)]
    waits = [runtime.start_in_background(body, run, HEADERS) for run in runs]
    joined = runtime.start_in_background(body, runs[0], HEADERS)
    assert all(storage.sending.acquire(timeout=60) for _ in range(4))
    assert runtime.request("GET", "/health")[1] == {"status": "ready", "workers": 1, "busy": 0, "queued": 0}
    assert runtime.results({"inputs": [image_input(COINS)], "outputs": [{"task_name": "echo"}]})[0]["DATA_DICT"]["width"] == 384
    storage.gate.set()
    assert {wait()[1]["state"] for wait in waits} == {"SUCCESS"}
    assert joined() == waits[0]()
    assert 1 < storage.most_in_hand <= 4
    assert runtime.leftovers() == []


def test_stopping_waits_for_transfers(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime, storage.gate = stored_runtime("echo"), threading.Event()
    body = {"inputs": [reference(storage.add(COINS.read_bytes(), "image/png"), "image")], "outputs": [{"task_name": "echo"}]}
    wait = runtime.start_in_background(body, str(uuid.uuid4()), HEADERS)
    assert storage.sending.acquire(timeout=60)
    runtime.process.terminate()
    runtime.wait_for_log("stopping")
    storage.gate.set()
    assert wait()[1]["state"] == "SUCCESS"
    assert runtime.wait() == 0
    assert not list(runtime.home.glob("runtime-*"))


def test_what_a_killed_process_left_is_removed_by_the_next(stored_runtime: StartRuntime, storage: Storage, tmp_path: Path) -> None:
    runtime, storage.gate = stored_runtime("echo"), threading.Event()
    body = {"inputs": [reference(storage.add(COINS.read_bytes(), "image/png"), "image")], "outputs": [{"task_name": "echo"}]}
    runtime.start_in_background(body, str(uuid.uuid4()), HEADERS)
    assert storage.sending.acquire(timeout=60)
    assert runtime.leftovers() != []
    everyone = [runtime.template, *runtime.workers()]
    runtime.process.kill()
    runtime.wait()
    wait_until_gone(everyone)
    again = RuntimeProcess(runtime.socket.parent, runtime.socket.parent / "bundle", *storage.arguments)
    try:
        again.wait_until_ready()
        assert again.leftovers() == []
        assert len(list(again.home.glob("runtime-*"))) == 1
    finally:
        again.stop()


def test_a_large_file_takes_no_memory_of_the_process(stored_runtime: StartRuntime, storage: Storage) -> None:
    runtime, sparse = stored_runtime("files"), storage.folder / "sparse"
    with sparse.open("wb") as file:
        file.truncate(300 << 20)
    inputs = [reference(storage.add(sparse), "file_path"), folder_input(storage)]
    before = memory_peak(runtime.process.pid)
    (result,) = runtime.stored_results(inputs, "files", output_index=0)
    assert result["DATA_DICT"]["size"] == 300 << 20
    assert memory_peak(runtime.process.pid) - before < 32 << 10


def memory_peak(pid: int) -> int:
    """Most memory that a process ever had, in kB."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])


def test_an_archive_of_many_files_is_unpacked(stored_runtime: StartRuntime, storage: Storage) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(2000):
            archive.writestr(f"{number % 50}/{number}.txt", str(number))
    file = reference(storage.add(b"x"), "file_path")
    (result,) = stored_runtime("files").stored_results([file, folder_input(storage, buffer.getvalue())], "files", output_index=0)
    assert len(result["DATA_DICT"]["names"]) == 2050
