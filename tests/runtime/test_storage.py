"""Objects are read and written through the storage socket: streamed, checked, asked for again, and from nowhere else."""

from __future__ import annotations

import hashlib
import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import StorageRefused, StorageUnavailable, TransferFailed
from runtime.run_inputs import StorageReference
from runtime.storage.connection import StorageConnections, same_origin
from runtime.storage.download import StoredObject, describe_object, download_object
from runtime.storage.inputs import file_name
from runtime.storage.upload import upload_file
from runtime.wire import SavedFile
from tests.runtime.fake_storage import ORIGIN, Storage
from tests.runtime.process import STORAGE_TOKEN

CONTENT = os.urandom(3_000_000)
NO_PAUSES = (0.0, 0.0, 0.0)


def connect(storage: Storage) -> StorageConnections:
    """Connections that ask again at once."""
    return StorageConnections(storage.socket_path, ORIGIN, NO_PAUSES)


def url_of(uid: str) -> str:
    """Where an object's description is."""
    return f"{ORIGIN}/v1/objects/?uid={uid}"


def fetch(storage: Storage, uid: str, folder: Path, token: str = STORAGE_TOKEN) -> bytes:
    """Describe and download, as the runtime does."""
    connections, path = connect(storage), folder / "object"
    stored = describe_object(connections, url_of(uid), token)
    with path.open("wb") as file:
        file.truncate(stored.size)
    download_object(connections, stored, token, path)
    return path.read_bytes()


def upload(storage: Storage, path: Path, *, archive: bool = False) -> bytes:
    """Upload, as the runtime does."""
    kind = "folder_path" if archive else "file_path"
    return upload_file(connect(storage), SavedFile(0, str(path), kind, "text/csv", archive), STORAGE_TOKEN)


def test_an_object_is_fetched_with_the_callers_token(storage: Storage, tmp_path: Path) -> None:
    uid = storage.add(CONTENT)
    assert fetch(storage, uid, tmp_path) == CONTENT
    assert storage.asked == [("GET", f"/v1/objects/?uid={uid}", None), ("GET", f"/v1/contents/{uid}/", None)]


def test_a_download_goes_on_where_the_connection_ended(storage: Storage, tmp_path: Path) -> None:
    uid = storage.add(CONTENT)
    storage.faults = [(f"GET /v1/contents/{uid}/", size) for size in (1_000_000, 500_000, 300_000, 100_000, 0, 1)]
    assert fetch(storage, uid, tmp_path) == CONTENT
    ranges = [span for _, path, span in storage.asked if "contents" in path]
    starts = [None, 1_000_000, 1_500_000, 1_800_000, 1_900_000, 1_900_000, 1_900_001]
    assert ranges == [None if start is None else f"bytes={start}-" for start in starts]


def test_a_download_starts_over_where_storage_serves_no_ranges(storage: Storage, tmp_path: Path) -> None:
    uid, storage.ranges = storage.add(CONTENT), False
    storage.faults = [(f"GET /v1/contents/{uid}/", 1_000_000)]
    assert fetch(storage, uid, tmp_path) == CONTENT


def test_what_fails_for_a_while_is_asked_again(storage: Storage, tmp_path: Path) -> None:
    uid = storage.add(CONTENT)
    busy = {"code": "unavailable", "detail": "Storage is restarting."}
    content = f"GET /v1/contents/{uid}/"
    storage.faults = [("GET", 0), ("GET", (503, busy)), ("GET", 20), (content, (429, busy)), (content, (500, busy))]
    assert fetch(storage, uid, tmp_path) == CONTENT


def test_what_fails_for_long_is_told_with_storages_words(storage: Storage, tmp_path: Path) -> None:
    uid = storage.add(CONTENT)
    storage.faults = [("GET", (503, {"detail": "Storage is restarting."}))] * 9
    with pytest.raises(StorageUnavailable, match=r"it answered 503: Storage is restarting\. \(asked 4 times\)"):
        fetch(storage, uid, tmp_path)
    assert len(storage.asked) == 4


@pytest.mark.parametrize("status", [401, 403, 404, 413, 302])
def test_a_refusal_is_told_with_storages_words_and_not_asked_again(storage: Storage, tmp_path: Path, status: int) -> None:
    uid = storage.add(CONTENT)
    storage.faults = [(f"GET /v1/contents/{uid}/", (status, {"code": "no", "detail": "Not with this token."}))]
    with pytest.raises(StorageRefused, match=f"it answered {status}: Not with this token."):
        fetch(storage, uid, tmp_path)
    assert len(storage.asked) == 2


def test_an_object_that_does_not_exist_is_told(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(StorageRefused, match="uid=none does not exist in this project"):
        fetch(storage, "none", tmp_path)


def test_a_download_from_elsewhere_is_not_followed(storage: Storage, tmp_path: Path) -> None:
    uid = storage.add(b"", download_url="http://169.254.169.254/latest/meta-data")
    with pytest.raises(StorageRefused, match="lies outside"):
        fetch(storage, uid, tmp_path)
    assert len(storage.asked) == 1


@pytest.mark.parametrize(
    ("lie", "problem", "part"),
    [
        ({"size": -5}, StorageUnavailable, "no usable description of .*`int` >= 0"),
        ({"size": "5"}, StorageUnavailable, "no usable description of .*Expected `int`"),
        ({"download_url": f"{ORIGIN}/\u20ac"}, StorageRefused, "not percent-encoded"),
        ({"download_url": f"{ORIGIN}/v1/contents/a b/"}, StorageRefused, "not percent-encoded"),
        ({"download_url": f"{ORIGIN}/v1/contents/a\r\nX: y/"}, StorageRefused, "not percent-encoded"),
    ],
    ids=["negative size", "size in words", "not ascii", "space", "line end"],
)
def test_a_description_that_can_not_be_true_is_refused_at_once(
    storage: Storage, tmp_path: Path, lie: dict[str, Any], problem: type[TransferFailed], part: str
) -> None:
    with pytest.raises(problem, match=part):
        fetch(storage, storage.add(b"hello", **lie), tmp_path)
    assert len(storage.asked) == 1


@pytest.mark.parametrize(
    ("lie", "part"),
    [
        ({"sha256": "0" * 64}, "does not have the sha256"),
        ({"size": 2_999_999}, "more than the object's 2999999 bytes"),
        ({"size": 3_000_001}, "ended after 3000000 of 3000001 bytes"),
    ],
    ids=["hash", "longer", "shorter"],
)
def test_what_is_not_the_described_object_is_refused(storage: Storage, tmp_path: Path, lie: dict[str, Any], part: str) -> None:
    uid = storage.add(CONTENT, **lie)
    with pytest.raises(StorageUnavailable, match=part):
        fetch(storage, uid, tmp_path)


def test_a_storage_that_is_away_is_told(tmp_path: Path) -> None:
    connections = StorageConnections(tmp_path / "none.sock", ORIGIN, NO_PAUSES)
    with pytest.raises(StorageUnavailable, match="No such file or directory"):
        describe_object(connections, url_of("1"), STORAGE_TOKEN)


def test_a_file_is_stored_and_named(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    upload(storage, path)
    (uid,) = storage.created
    assert storage.things[uid].content == CONTENT
    assert (storage.things[uid].row["content_type"], storage.things[uid].row["is_directory_archive"]) == ("text/csv", False)
    upload(storage, path, archive=True)
    assert storage.things[storage.created[1]].row["is_directory_archive"] is True


def test_an_upload_without_an_answer_is_sent_again(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    storage.faults = [("POST", 0), ("POST", (503, {"detail": "later"}))]
    upload(storage, path)
    assert storage.things[storage.created[0]].content == CONTENT
    assert [method for method, _, _ in storage.asked] == ["POST"] * 3


def test_a_refused_upload_is_told_although_storage_stops_reading(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT * 5)
    storage.faults = [("POST", (413, {"code": "quota", "detail": "The project has 10 MB left."}))]
    with pytest.raises(StorageRefused, match=r"it answered 413: The project has 10 MB left\."):
        upload(storage, path)
    assert len(storage.asked) == 1


def test_closing_ends_a_transfer_at_once(storage: Storage, tmp_path: Path) -> None:
    uid, storage.gate = storage.add(CONTENT), threading.Event()
    connections = StorageConnections(storage.socket_path, ORIGIN)
    stored = describe_object(connections, url_of(uid), STORAGE_TOKEN)
    (tmp_path / "object").touch()
    raised: list[TransferFailed] = []

    def transfer() -> None:
        try:
            download_object(connections, stored, STORAGE_TOKEN, tmp_path / "object")
        except TransferFailed as error:
            raised.append(error)

    thread = threading.Thread(target=transfer)
    thread.start()
    assert storage.sending.acquire(timeout=60)
    connections.close()
    thread.join(30)
    assert not thread.is_alive()
    assert len(raised) == 1


def test_a_large_object_takes_no_memory(storage: Storage, tmp_path: Path) -> None:
    size = 300 << 20
    sparse, target = tmp_path / "sparse", tmp_path / "object"
    for path in (sparse, target):
        with path.open("wb") as file:
            file.truncate(size)
    uid = storage.add(sparse)
    stored = describe_object(connect(storage), url_of(uid), STORAGE_TOKEN)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    download_object(connect(storage), stored, STORAGE_TOKEN, target)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    target.unlink()


@pytest.mark.parametrize(
    "url",
    [
        "http://storage.test:8001/v1/objects/?uid=1",
        "https://storage.test:8000/v1/objects/?uid=1",
        "http://storage.test:8000@evil.test/v1/objects/?uid=1",
        "http://user@storage.test:8000/v1/objects/?uid=1",
        "http://storage.test/v1/objects/?uid=1",
        "/v1/objects/?uid=1",
        "http://[",
        "",
    ],
)
def test_other_origins_are_told_apart(url: str) -> None:
    assert not same_origin(url, ORIGIN)


@pytest.mark.parametrize(
    ("path", "content_type", "name"),
    [
        ("reports/2026 März.csv", "text/csv", "2026 März.csv"),
        (None, "text/csv; charset=utf-8", "object.csv"),
        (None, "application/x-unheard-of", "object"),
        ("a/..", "image/png", "object.png"),
        ("a/b\x00\n.txt", "text/plain", "b__.txt"),
        ("x" * 300 + ".bin", "text/plain", "x" * 196 + ".bin"),
    ],
)
def test_a_file_gets_the_objects_own_name_made_safe(path: str | None, content_type: str, name: str) -> None:
    assert file_name(StoredObject("", 0, path=path, content_type=content_type)) == name


def test_a_data_type_is_known_in_any_case() -> None:
    kinds = [StorageReference("", data_type).kind for data_type in ("video", "OBJECT_DETECTION", "keypoints", "Json", "folder_path")]
    assert kinds == ["VIDEO", "OBJECT_DETECTION", "KEYPOINTS", "JSON", "FOLDER_PATH"]


def test_the_hash_is_that_of_the_content(storage: Storage) -> None:
    uid = storage.add(CONTENT)
    assert storage.things[uid].row["sha256"] == hashlib.sha256(CONTENT).hexdigest()
