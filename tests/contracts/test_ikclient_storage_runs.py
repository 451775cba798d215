"""Runs of the unmodified client with pictures, videos, files and folders in the project's storage, and results that are saved there."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import secrets
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.contracts.conftest import PROJECT
from tests.contracts.storage_client import client_session
from tests.pictures import COINS
from tests.runtime.videos import LEVELS, describe_video, make_video

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
FILES = Path(__file__).parents[1] / "runtime/workflows/files"


@pytest.fixture(params=[False, True], ids=["blocking", "async"])
def client(request, person, blur_endpoint):
    """One of the two clients of an endpoint that blurs; its storage is the project's."""
    with client_session(person, is_async=request.param, endpoint=blur_endpoint) as session:
        yield session


@pytest.fixture
def folder_of_files(tmp_path):
    """A folder with files, one of them deeper, and a name that is not ASCII."""
    folder = tmp_path / "reports"
    (folder / "März 2026").mkdir(parents=True)
    (folder / "one.txt").write_text("1")
    (folder / "März 2026/two words.csv").write_bytes(b"\xff\x00")
    (folder / "empty").touch()
    return folder


def stored_at(client, given):
    """Return the object that an input or output refers to."""
    return client.get_by_uid(given["storage_object"]["url"].rpartition("=")[2])


def pixels(content):
    """Return a picture's pixels."""
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_storage_of_an_endpoint_is_that_of_its_project(person, client):
    stored = client.put("by the endpoint", f"{secrets.token_hex(4)}.txt")
    project = person.one("/v1/projects/", name=PROJECT, namespace=person.username)["url"]
    with client_session(person, is_async=False, project=project) as storage:
        assert storage.get(stored["path"]) == stored
        assert storage.content(stored) == b"by the endpoint"


def test_a_folder_becomes_an_archive_in_the_storage(client, folder_of_files):
    given = client.create_input(str(folder_of_files))
    assert given["storage_object"]["data_type"] == "folder_path"
    stored = stored_at(client, given)
    assert (stored["path"], stored["content_type"]) == (None, "application/zip")
    with zipfile.ZipFile(io.BytesIO(client.content(stored))) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {"one.txt": b"1", "März 2026/two words.csv": b"\xff\x00", "empty": b""}


def test_inputs_are_made_of_objects_by_path_and_by_uid(client):
    path = f"{secrets.token_hex(4)}/münzen 1.png"
    stored = client.put(COINS, path)
    given = client.create_storage_input(path)
    assert given == client.create_storage_input_from_uid(stored["uid"])
    assert given["storage_object"]["data_type"] == "image"
    assert stored_at(client, given) == stored
    assert client.create_storage_input(path, data_type="file_path")["storage_object"]["data_type"] == "file_path"
    with pytest.raises(FileNotFoundError):
        client.create_storage_input("not/there.png")


def test_a_stored_picture_gives_what_the_same_picture_in_the_request_gives(client, picture):
    stored = client.put(COINS, content_type="image/png")
    assert client.run(client.create_storage_input_from_uid(stored["uid"])) == client.run(picture)


def test_a_result_is_saved_described_and_read_back(client, picture):
    [plain] = client.run(picture)
    [saved] = client.run_saved("ocv_blur", client.create_input(picture, save_temporary=True))
    told = saved["storage_object"]
    assert told["data_type"] == "image"
    metadata = told["metadata"]
    assert metadata == stored_at(client, saved)
    assert metadata["path"] is None
    assert metadata["content_type"].startswith("image/")
    content = client.content(metadata)
    assert (len(content), hashlib.sha256(content).hexdigest()) == (metadata["size"], metadata["sha256"])
    assert np.abs(pixels(content).astype(int) - pixels(base64.b64decode(plain["image"]))).mean() < 4


def test_a_saved_result_is_the_input_of_the_next_run(client, picture):
    [saved] = client.run_saved("ocv_blur", client.create_input(picture))
    [again] = client.run(saved)
    assert pixels(base64.b64decode(again["image"])).shape[:2] == (303, 384)


def test_a_video_goes_in_and_a_playable_video_comes_out(client, tmp_path):
    video = tmp_path / "lighter.mp4"
    video.write_bytes(make_video())
    [blurred] = client.run(str(video))
    told = blurred["storage_object"]
    assert told["data_type"] == "video"
    assert told["metadata"]["content_type"] == "video/mp4"
    found = describe_video(client.content(told["metadata"]))
    assert (found["codec"], found["pix_fmt"], found["size"], found["rate"]) == ("h264", "yuv420p", [64, 48], 25.0)
    means = [sum(mean) / 3 for mean in found["means"]]
    assert np.abs(np.array(means) - LEVELS).max() < 8


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
def test_a_file_and_a_folder_go_in_and_come_out(person, deployed, folder_of_files, tmp_path, is_async):
    endpoint = deployed(json.loads((FILES / "workflow.json").read_text()), files=FILES / "files")
    table = tmp_path / "a table.csv"
    table.write_text("a,b\n1,2\n")
    with client_session(person, is_async=is_async, endpoint=endpoint) as client:
        found = client.run_saved("files", client.create_input(str(table), data_type="file_path"), client.create_input(str(folder_of_files)))
        stored = [client.read(output["storage_object"]["metadata"]) for output in found]
    seen, report, folder = (base64.b64decode(one["content"]) for one in stored)
    assert json.loads(seen)["DATA_DICT"]["names"] == ["März 2026", "März 2026/two words.csv", "empty", "one.txt"]
    assert report == b"label,count\nbox,3\n"
    with zipfile.ZipFile(io.BytesIO(folder)) as archive:
        assert sorted(archive.namelist()) == ["deeper/", "deeper/two.txt", "one.txt"]
    assert [output["storage_object"]["data_type"] for output in found[1:]] == ["file_path", "folder_path"]
    assert found[2]["storage_object"]["metadata"]["is_directory_archive"]
