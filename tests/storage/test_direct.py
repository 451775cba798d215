"""Direct uploads: the bytes go to the object store, the service decides what becomes of them."""

from __future__ import annotations

import hashlib

import pytest
import requests

from controlplane.common.errors import Unavailable
from storage.bucket import PublicBucket, bucket
from storage.models import DiscardedKey, Space, StoredObject, Upload
from tests.storage.builders import StorageCaller, access_to, keys_in_bucket, store_file, traces
from tests.storage.uploading import MIB, PICTURE, announced, begin, complete, send, state, verify_all

VIDEO = PICTURE * 3500  # 35 840 000 bytes: three parts
SINGLE = pytest.mark.parametrize("method", ["put", "post"])
ANY = pytest.mark.parametrize("method", ["put", "post", "multipart"])


@SINGLE
@pytest.mark.parametrize("data", [PICTURE, b""], ids=["a picture", "an empty file"])
def test_a_file_goes_to_the_store_in_one_request(caller, method, data):
    upload = begin(caller, data, method, path="pictures/à bord 1.png", is_directory_archive=True)
    assert (upload["state"], upload["method"], upload["parts"], upload["part_size"]) == ("open", method, [], None)
    send(upload, data)
    answer = complete(caller, upload)
    assert answer.status_code == 201
    found = caller.get("/v1/objects/?uid=" + answer.json()["uid"]).json()["results"][0]
    assert found == answer.json()
    assert (found["path"], found["size"], found["content_type"]) == ("pictures/à bord 1.png", len(data), "image/png")
    assert found["sha256"] == hashlib.sha256(data).hexdigest()
    assert found["is_directory_archive"]
    assert b"".join(caller.get(found["download_url"]).streaming_content) == data
    assert state(caller, upload)["object"] == found


@pytest.mark.parametrize("data", [VIDEO, b""], ids=["a video", "an empty file"])
def test_a_file_goes_to_the_store_in_parts_and_is_read_by_a_worker(caller, data):
    upload = begin(caller, data, "multipart", path="videos/belt.mp4")
    assert upload["part_size"] == 16 * MIB
    assert sum(part["size"] for part in upload["parts"]) == len(data)
    send(upload, data)
    answer = complete(caller, upload)
    assert answer.status_code == 202
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["state"] == state(caller, upload)["state"] == "verifying"
    verify_all()
    seen = state(caller, upload)
    assert (seen["state"], seen["object"]["sha256"]) == ("done", hashlib.sha256(data).hexdigest())
    assert complete(caller, upload).json() == seen["object"]
    assert Space.objects.get().used_bytes == len(data)


def test_without_a_path_the_object_is_temporary(caller):
    upload = begin(caller, PICTURE, "put")
    send(upload, PICTURE)
    stored = complete(caller, upload).json()
    assert stored["path"] is None
    assert stored["expires_at"]


@ANY
def test_completing_twice_gives_the_same_object(caller, method):
    upload = begin(caller, PICTURE, method, path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    assert complete(caller, upload).status_code == (202 if method == "multipart" else 201)
    verify_all()
    first, second = complete(caller, upload), complete(caller, upload)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert StoredObject.objects.count() == 1


def test_completing_after_the_object_was_deleted_says_so(caller):
    upload = begin(caller, PICTURE, "put", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    caller.delete("/v1/objects/one.png")
    assert complete(caller, upload).status_code == 404
    assert state(caller, upload)["object"] is None


def test_an_interrupted_upload_in_parts_is_resumed(caller):
    upload = begin(caller, VIDEO, "multipart", path="belt.mp4")
    send(upload, VIDEO, only={1, 3})
    seen = state(caller, upload)
    assert [(part["number"], part["size"]) for part in seen["received"]] == [(1, 16 * MIB), (3, len(VIDEO) - 32 * MIB)]
    refused = complete(caller, upload)
    assert (refused.status_code, refused.json()["code"], refused.json()["fields"]) == (409, "parts_missing", {"parts": ["2"]})
    assert state(caller, upload)["state"] == "open"
    again = caller.post(f"/v1/uploads/{upload['uid']}/parts/", {"numbers": [2]}, format="json").json()
    send({**upload, **again}, VIDEO)
    named = [{"number": part["number"], "etag": part["etag"]} for part in state(caller, upload)["received"]]
    assert complete(caller, upload, parts=named).status_code == 202
    verify_all()
    assert state(caller, upload)["object"]["sha256"] == hashlib.sha256(VIDEO).hexdigest()


def test_a_part_that_was_sent_with_other_bytes_too_is_named_by_its_etag(caller):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    wrong = bytes(len(PICTURE))
    send(upload, wrong)
    send(upload, PICTURE)
    refused = complete(caller, upload)
    assert (refused.status_code, refused.json()["code"]) == (400, "wrong_part")
    etag = hashlib.md5(PICTURE).hexdigest()  # noqa: S324 - how the store names parts
    assert complete(caller, upload, parts=[{"number": 1, "etag": etag}]).status_code == 202
    verify_all()
    assert state(caller, upload)["object"]["sha256"] == hashlib.sha256(PICTURE).hexdigest()


@pytest.mark.parametrize("parts", [[], [{"number": 2, "etag": "x"}], [{"number": 1, "etag": "x"}] * 2], ids=["none", "another", "twice"])
def test_parts_that_are_not_those_of_the_upload_are_refused(caller, parts):
    upload = begin(caller, PICTURE, "multipart")
    send(upload, PICTURE)
    answer = complete(caller, upload, parts=parts)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["parts"])
    assert state(caller, upload)["state"] == "open"


def test_a_part_with_an_etag_that_did_not_arrive_is_refused(caller):
    upload = begin(caller, PICTURE, "multipart")
    send(upload, PICTURE)
    answer = complete(caller, upload, parts=[{"number": 1, "etag": '"none"'}])
    assert (answer.status_code, answer.json()["code"]) == (400, "wrong_part")


@ANY
def test_completing_before_the_bytes_are_there_leaves_the_upload_open(caller, method):
    upload = begin(caller, PICTURE, method, path="one.png")
    answer = complete(caller, upload)
    assert answer.status_code == 409
    assert answer.json()["code"] == ("parts_missing" if method == "multipart" else "not_uploaded")
    send(upload, PICTURE)
    assert complete(caller, upload).status_code in (201, 202)


def test_parts_with_another_hash_than_announced_fail_and_store_nothing(caller):
    upload = begin(caller, PICTURE, "multipart", path="one.png", sha256="0" * 64)
    send(upload, PICTURE)
    assert complete(caller, upload).status_code == 202
    verify_all()
    seen = state(caller, upload)
    assert (seen["state"], seen["problem"]["code"], seen["object"]) == ("failed", "wrong_sha256", None)
    again = complete(caller, upload)
    assert (again.status_code, again.json()["code"]) == (409, "wrong_sha256")
    assert not StoredObject.objects.exists()
    assert keys_in_bucket() == []
    assert DiscardedKey.objects.count() == 1


def test_bytes_whose_hash_the_store_has_not_checked_are_not_taken(caller):
    """A store without checksums would take other bytes at the same address after the upload is complete."""
    upload = begin(caller, PICTURE, "put", path="one.png")
    bucket().put(Upload.objects.get().key, PICTURE, "image/png")
    answer = complete(caller, upload)
    assert (answer.status_code, answer.json()["code"]) == (409, "hash_not_checked")
    assert state(caller, upload)["state"] == "failed"
    assert keys_in_bucket() == []


@ANY
def test_an_aborted_upload_leaves_nothing_and_gives_its_room_back(caller, method):
    upload = begin(caller, PICTURE, method, path="one.png")
    send(upload, PICTURE)
    assert caller.get("/v1/infos").json()["reserved_bytes"] == len(PICTURE)
    assert caller.delete(f"/v1/uploads/{upload['uid']}/").status_code == 204
    assert caller.get("/v1/infos").json()["reserved_bytes"] == 0
    assert caller.delete(f"/v1/uploads/{upload['uid']}/").status_code == 404
    assert complete(caller, upload).status_code == 404
    assert keys_in_bucket() == []


def test_an_upload_that_is_done_is_not_aborted(caller):
    upload = begin(caller, PICTURE, "put", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    answer = caller.delete(f"/v1/uploads/{upload['uid']}/")
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_done")
    assert StoredObject.objects.count() == 1


def test_an_upload_that_has_failed_can_be_forgotten(caller):
    upload = begin(caller, PICTURE, "put", path="one.png")
    bucket().put(Upload.objects.get().key, PICTURE, "image/png")
    complete(caller, upload)
    assert caller.delete(f"/v1/uploads/{upload['uid']}/").status_code == 204
    assert not Upload.objects.exists()


@ANY
def test_a_path_that_is_taken_is_refused_before_anything_is_signed(caller, access, method):
    store_file(access, b"first", "one.png")
    before = traces()
    answer = caller.post("/v1/uploads/", announced(PICTURE, method, path="one.png"), format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "path_exists")
    assert traces() == before


@ANY
def test_a_path_that_was_taken_meanwhile_keeps_its_object(caller, access, method):
    upload = begin(caller, PICTURE, method, path="one.png")
    send(upload, PICTURE)
    first = store_file(access, b"first", "one.png")
    complete(caller, upload)
    verify_all()
    assert state(caller, upload)["problem"]["code"] == "path_exists"
    assert keys_in_bucket() == [first.key]


@ANY
def test_overwriting_keeps_the_uid_and_discards_the_bytes_of_before(caller, access, method):
    first = store_file(access, b"first", "one.png")
    upload = begin(caller, PICTURE, method, path="one.png", overwrite=True)
    send(upload, PICTURE)
    complete(caller, upload)
    verify_all()
    stored = state(caller, upload)["object"]
    assert (stored["uid"], stored["size"]) == (str(first.pk), len(PICTURE))
    assert DiscardedKey.objects.get().key == first.key


def test_what_is_announced_is_reserved(caller, settings):
    settings.STORAGE_PROJECT_QUOTA = 100
    first = begin(caller, bytes(60), "put")
    before = traces()
    answer = caller.post("/v1/uploads/", announced(bytes(41), "multipart"), format="json")
    assert (answer.status_code, answer.json()["code"]) == (413, "storage_full")
    assert caller.send_file("two.bin", bytes(41)).status_code == 413
    assert traces() == before
    caller.delete(f"/v1/uploads/{first['uid']}/")
    begin(caller, bytes(41), "multipart")


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("sha256", {"sha256": None}),
        ("sha256", {"sha256": "abc"}),
        ("size", {"size": -1}),
        ("size", {"size": 5 * 1024**3 + 1}),
        ("size", {"size": 6 * 1024**4}),
        ("size", {"size": None}),
        ("method", {"method": "patch"}),
        ("path", {"path": "../up.png"}),
        ("path", {"path": "/up.png"}),
        ("path", {"path": ""}),
        ("content_type", {"content_type": "picture"}),
        ("content_type", {"content_type": "image/png\r\nx-amz-acl: public-read"}),
    ],
    ids=str,
)
def test_what_cannot_be_uploaded_is_said_with_the_field(caller, field, changes):
    before = traces()
    answer = caller.post("/v1/uploads/", announced(PICTURE, "put", path="one.png") | changes, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert traces() == before


@pytest.mark.parametrize("numbers", [[], [0], [2], [1] * 101, ["x"], [10_001]], ids=["none", "0", "2", "101 of them", "x", "10001"])
def test_parts_that_an_upload_has_not_are_not_signed(caller, numbers):
    upload = begin(caller, PICTURE, "multipart")
    answer = caller.post(f"/v1/uploads/{upload['uid']}/parts/", {"numbers": numbers}, format="json")
    assert answer.status_code == 400
    assert next(iter(answer.json()["fields"])).startswith("numbers")


@SINGLE
def test_an_upload_of_one_request_has_no_parts(caller, method):
    upload = begin(caller, PICTURE, method)
    answer = caller.post(f"/v1/uploads/{upload['uid']}/parts/", {"numbers": [1]}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_open")


def test_large_files_have_larger_parts_of_which_the_first_hundred_are_signed(caller, settings):
    settings.STORAGE_PROJECT_QUOTA = 10 * 1024**4
    size = 1024**4
    body = {"size": size, "method": "multipart"}
    upload = caller.post("/v1/uploads/", body, format="json").json()
    assert upload["part_size"] == 105 * MIB
    assert [part["number"] for part in upload["parts"]] == list(range(1, 101))
    last = caller.post(f"/v1/uploads/{upload['uid']}/parts/", {"numbers": [9987]}, format="json").json()["parts"][0]
    assert last["size"] == size - 9986 * 105 * MIB


def test_uploads_are_listed_newest_first(caller):
    one, two = begin(caller, PICTURE, "put"), begin(caller, PICTURE, "multipart")
    listed = caller.get("/v1/uploads/").json()
    assert [row["uid"] for row in listed["results"]] == [two["uid"], one["uid"]]
    assert "request" not in listed["results"][1]


def test_a_token_that_reads_sees_uploads_and_changes_none(caller, reader):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    before = traces()
    url = f"/v1/uploads/{upload['uid']}/"
    seen = reader.get(url).json()
    assert seen["state"] == "open"
    assert "X-Amz-Signature" not in str(seen)
    for answer in (
        reader.post("/v1/uploads/", announced(PICTURE, "put"), format="json"),
        reader.post(url + "parts/", {"numbers": [1]}, format="json"),
        complete(reader, upload),
        reader.delete(url),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "read_only")
    assert traces() == before


def test_other_projects_see_nothing_of_an_upload(caller, neighbour):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    before = traces()
    url = f"/v1/uploads/{upload['uid']}/"
    assert neighbour.get("/v1/uploads/").json()["count"] == 0
    for answer in (
        neighbour.get(url),
        neighbour.post(url + "parts/", {"numbers": [1]}, format="json"),
        complete(neighbour, upload),
        neighbour.delete(url),
    ):
        assert answer.status_code == 404
    assert traces() == before


def test_nobody_is_told_to_bring_a_token(api, caller):
    upload = begin(caller, PICTURE, "put")
    for path in ("/v1/uploads/", f"/v1/uploads/{upload['uid']}/"):
        assert api().get(path).status_code == 401


def test_where_clients_cannot_reach_the_store_they_are_told_another_way(caller, monkeypatch):
    before = traces()
    monkeypatch.setattr("storage.direct.public_bucket", lambda: PublicBucket(bucket().client, "x", is_reachable=False))
    answer = caller.post("/v1/uploads/", announced(PICTURE, "put"), format="json")
    assert (answer.status_code, answer.json()["code"]) == (503, "direct_uploads_off")
    assert traces() == before


def test_a_store_that_is_away_when_an_upload_begins_leaves_no_intent(caller, monkeypatch):
    def away(*_):
        raise Unavailable("object_store", "The object store does not answer.")

    monkeypatch.setattr("storage.bucket.Bucket.begin_parts", away)
    assert caller.post("/v1/uploads/", announced(PICTURE, "multipart"), format="json").status_code == 503
    assert not Upload.objects.exists()


@ANY
def test_a_store_that_is_away_when_an_upload_is_completed_leaves_it_open(caller, method, monkeypatch):
    upload = begin(caller, PICTURE, method)
    send(upload, PICTURE)

    def away(*_):
        raise Unavailable("object_store", "The object store does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr("storage.bucket.Bucket.look", away)
        assert complete(caller, upload).status_code == 503
    assert state(caller, upload)["state"] == "open"
    assert complete(caller, upload).status_code in (201, 202)


def test_only_so_many_uploads_run_at_a_time(caller, monkeypatch):
    monkeypatch.setattr("storage.direct.MOST_AT_ONCE", 2)
    first = begin(caller, PICTURE, "put")
    begin(caller, PICTURE, "put")
    answer = caller.post("/v1/uploads/", announced(PICTURE, "put"), format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_uploads")
    send(first, PICTURE)
    complete(caller, first)
    begin(caller, PICTURE, "put")


def test_parts_that_are_joined_take_no_more_bytes(caller):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    late = requests.put(upload["parts"][0]["url"], data=bytes(len(PICTURE)), timeout=30)
    assert late.status_code == 404
    verify_all()
    assert bucket().open(StoredObject.objects.get().key, 0, len(PICTURE) - 1).read() == PICTURE


def test_two_people_of_a_project_share_its_uploads(caller, project, stranger):
    upload = begin(caller, PICTURE, "put")
    colleague = StorageCaller(stranger, project.pk)
    assert colleague.get(f"/v1/uploads/{upload['uid']}/").status_code == 200
    assert access_to(project, stranger).project_id == project.pk
