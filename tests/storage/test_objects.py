"""Objects over the API: storing, finding, overwriting, copying, deleting."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import pytest

from controlplane.common.clock import now
from storage.models import DiscardedKey, StoredObject
from tests.factories import make_project
from tests.storage.builders import StorageCaller, access_to, store_file, traces

pytestmark = pytest.mark.django_db


def listed(answer):
    """Return the paths of a list."""
    assert answer.status_code == 200, answer.content
    return [row["path"] for row in answer.json()["results"]]


def read(caller, stored):
    """Return the bytes at an object's address."""
    answer = caller.get(stored["download_url"].replace("http://127.0.0.1:8000", ""))
    assert answer.status_code == 200
    return answer.getvalue()


def test_an_upload_answers_what_was_stored(caller):
    answer = caller.send_file("belts/4 Ü.mp4", b"film", content_type="video/mp4")
    assert answer.status_code == 201
    stored = answer.json()
    assert {name: stored[name] for name in ("path", "content_type", "size", "is_directory_archive", "expires_at")} == {
        "path": "belts/4 Ü.mp4",
        "content_type": "video/mp4",
        "size": 4,
        "is_directory_archive": False,
        "expires_at": None,
    }
    assert stored["sha256"] == sha256(b"film").hexdigest()
    assert stored["created_at"].endswith("Z")
    assert UUID(stored["uid"]).version == 7
    assert read(caller, stored) == b"film"


@pytest.mark.parametrize("size", [0, 1, 5 * 1024**2 - 1, 5 * 1024**2, 5 * 1024**2 + 1, 13 * 1024**2])
def test_files_of_all_sizes_come_back_as_they_were(caller, size):
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    stored = caller.send_file("file.bin", data).json()
    assert (stored["size"], stored["sha256"]) == (size, sha256(data).hexdigest())
    assert read(caller, stored) == data


def test_without_a_path_an_object_lives_an_hour(caller, monkeypatch):
    stored = caller.send_file("", b"passing").json()
    assert stored["path"] is None
    later = now() + timedelta(minutes=61)
    assert caller.get(f"/v1/objects/?uid={stored['uid']}").json()["count"] == 1
    monkeypatch.setattr("storage.querysets.now", lambda: later)
    assert caller.get(f"/v1/objects/?uid={stored['uid']}").json()["count"] == 0
    assert caller.get(f"/v1/contents/{stored['uid']}/").status_code == 404


def test_a_path_that_is_taken_is_kept(caller):
    first = caller.send_file("a.txt", b"first").json()
    before = traces()
    refusal = caller.send_file("a.txt", b"second")
    assert (refusal.status_code, refusal.json()["code"]) == (409, "path_exists")
    assert traces() == before
    assert read(caller, first) == b"first"


def test_overwriting_keeps_the_uid_and_counts_once(caller):
    first = caller.send_file("a.txt", b"first", content_type="text/plain").json()
    second = caller.send_file("a.txt", b"longer than first", method="PUT", content_type="image/png").json()
    assert second["uid"] == first["uid"]
    assert (second["content_type"], second["size"]) == ("image/png", 17)
    assert read(caller, second) == b"longer than first"
    assert caller.get("/v1/infos").json() | {"total_bytes": 0} == {
        "count": 1,
        "used_bytes": 17,
        "total_bytes": 0,
        "reserved_bytes": 0,
        "anonymous_objects": {"count": 0, "used_bytes": 0},
    }


def test_the_bytes_of_an_overwritten_object_stay_for_its_readers_a_while(caller):
    caller.send_file("a.txt", b"first")
    key = StoredObject.objects.get().key
    caller.send_file("a.txt", b"second", method="PUT")
    assert DiscardedKey.objects.get(key=key).due_at > now() + timedelta(minutes=10)


def test_a_prefix_lists_and_an_exact_path_finds(caller):
    for path in ("film/1", "film/2", "films/3", "fil", "film"):
        caller.send_file(path, b"x")
    assert listed(caller.get("/v1/objects/film")) == ["film", "film/1", "film/2", "films/3"]
    assert listed(caller.get("/v1/objects/film/")) == ["film/1", "film/2"]
    assert listed(caller.get("/v1/objects/film?exact=True")) == ["film"]
    assert listed(caller.get("/v1/objects/none")) == []
    assert len(listed(caller.get("/v1/objects/"))) == 5


@pytest.mark.parametrize("path", ["100%25/_x", "a_b", "a%25b"])
def test_characters_of_patterns_stand_for_themselves(caller, path):
    caller.send_file("a%25b", b"x")
    caller.send_file("axb", b"x")
    caller.send_file("a_b", b"x")
    found = listed(caller.get(f"/v1/objects/{path}"))
    assert found == [one for one in ["a%b", "a_b"] if one == path.replace("%25", "%")]


def test_lists_go_by_pages_and_hashes(caller):
    for number in range(5):
        caller.send_file(f"n/{number}", b"same" if number < 3 else b"other")
    first = caller.get("/v1/objects/n/?page_size=2").json()
    assert (first["count"], [row["path"] for row in first["results"]]) == (5, ["n/0", "n/1"])
    assert listed(caller.get(first["next"])) == ["n/2", "n/3"]
    assert caller.get("/v1/objects/?page=9").status_code == 400
    same = sha256(b"same").hexdigest()
    assert listed(caller.get(f"/v1/objects/?sha256={same.upper()}")) == ["n/0", "n/1", "n/2"]
    assert listed(caller.get("/v1/objects/?sha256=%00")) == []
    assert listed(caller.get("/v1/objects/?uid=nonsense")) == []


def test_a_copy_is_an_object_of_its_own(caller):
    source = caller.send_file("a.txt", b"original", content_type="text/plain").json()
    copied = caller.send_file("b.txt", b"", fields={"copy_from": source["uid"]}).json()
    assert copied["uid"] != source["uid"]
    assert {**copied, **{name: source[name] for name in ("uid", "path", "download_url", "created_at", "updated_at")}} == source
    caller.delete("/v1/objects/a.txt")
    assert read(caller, copied) == b"original"


def test_a_copy_may_be_temporary_or_overwrite_but_not_take_a_path(caller):
    source = caller.send_file("a.txt", b"original").json()
    target = caller.send_file("b.txt", b"other").json()
    fields = {"copy_from": source["uid"]}
    assert caller.send_file("", None, fields=fields).json()["expires_at"] is not None
    assert caller.send_file("b.txt", b"", fields=fields).status_code == 409
    over = caller.send_file("b.txt", b"", fields=fields, method="PUT").json()
    assert (over["uid"], over["sha256"]) == (target["uid"], source["sha256"])


@pytest.mark.parametrize("named", ["0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11", "nonsense", ""])
def test_a_copy_of_nothing_is_a_404_and_leaves_nothing(caller, named):
    before = traces()
    assert caller.send_file("b.txt", b"", fields={"copy_from": named}).status_code == 404
    assert traces() == before


def test_a_copy_with_another_hash_than_told_is_refused(caller):
    source = caller.send_file("a", b"x").json()
    before = traces()
    fields = {"copy_from": source["uid"], "sha256": "0" * 64}
    refusal = caller.send_file("b", b"", fields=fields)
    assert (refusal.status_code, refusal.json()["code"]) == (400, "wrong_sha256")
    assert traces() == before
    assert caller.send_file("b", b"", fields=fields | {"sha256": source["sha256"]}).status_code == 201


def test_an_object_of_another_project_cannot_be_copied(caller, stranger):
    foreign = store_file(access_to(make_project(stranger, "dock")), b"secret", "s")
    before = traces()
    assert caller.send_file("b.txt", b"", fields={"copy_from": str(foreign.pk)}).status_code == 404
    assert traces() == before


def test_a_folder_is_deleted_without_its_neighbours(caller):
    for path in ("film/1", "film/2/3", "films/3", "film.mp4", "film"):
        caller.send_file(path, b"x")
    assert caller.delete("/v1/objects/film").json() == {"deleted": 3}
    assert listed(caller.get("/v1/objects/")) == ["films/3", "film.mp4"]
    assert caller.get("/v1/infos").json()["count"] == 2


def test_an_exact_deletion_takes_one(caller):
    for path in ("film/1", "film"):
        caller.send_file(path, b"x")
    assert caller.delete("/v1/objects/film?exact=true").json() == {"deleted": 1}
    assert listed(caller.get("/v1/objects/")) == ["film/1"]
    refusal = caller.delete("/v1/objects/film?exact=true")
    assert (refusal.status_code, "film" in refusal.json()["detail"]) == (404, True)


def test_temporary_objects_are_deleted_by_uid(caller):
    stored = caller.send_file("", b"x").json()
    assert caller.delete(f"/v1/objects/?uid={stored['uid']}").json() == {"deleted": 1}
    assert caller.delete(f"/v1/objects/?uid={stored['uid']}").status_code == 404
    assert caller.get("/v1/infos").json()["anonymous_objects"] == {"count": 0, "used_bytes": 0}


def test_everything_goes_only_when_it_is_said(caller):
    caller.send_file("a", b"x")
    caller.send_file("", b"x")
    assert caller.delete("/v1/objects/").status_code == 400
    assert caller.delete("/v1/objects/?all=maybe").status_code == 400
    assert caller.get("/v1/infos").json()["count"] == 2
    assert caller.delete("/v1/objects/?all=true").json() == {"deleted": 2}
    assert caller.get("/v1/infos").json()["used_bytes"] == 0


def test_a_zip_can_stand_for_a_folder(caller):
    stored = caller.send_file("", b"PK", fields={"is_directory_archive": "True"}).json()
    assert stored["is_directory_archive"] is True


def test_a_told_hash_is_checked(caller):
    before = traces()
    refusal = caller.send_file("a", b"x", fields={"sha256": "0" * 64})
    assert (refusal.status_code, refusal.json()["code"]) == (400, "wrong_sha256")
    assert traces() == before
    assert caller.send_file("a", b"x", fields={"sha256": sha256(b"x").hexdigest().upper()}).status_code == 201


@pytest.mark.parametrize(
    ("path", "status"), [("a/../b", 400), ("a//b", 400), ("a/", 400), ("a%00b", 400), ("%2e%2e/b", 400), ("a%5Cb", 400), ("x" * 1100, 400)]
)
def test_a_path_that_cannot_be_is_refused_and_nothing_stored(caller, path, status):
    before = traces()
    assert caller.send_file(path, b"x").status_code == status
    assert traces() == before


@pytest.mark.parametrize("body", [b"", b"nonsense", b"--5f0e2b9d4c11\r\n"])
def test_a_broken_form_is_refused_and_nothing_stored(caller, body):
    before = traces()
    answer = caller.generic("POST", "/v1/objects/a", body, content_type="multipart/form-data; boundary=5f0e2b9d4c11")
    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert traces() == before


def test_other_bodies_are_refused_with_an_example(caller):
    answer = caller.post("/v1/objects/a", {"file": "x"}, format="json")
    assert (answer.status_code, "curl -F" in answer.json()["detail"]) == (415, True)


def test_a_reader_reads_and_writes_nothing(caller, reader):
    stored = caller.send_file("a", b"x").json()
    before = traces()
    assert read(reader, stored) == b"x"
    assert reader.get("/v1/objects/").json()["count"] == 1
    assert (
        reader.put(f"/v1/presigned-urls/download/{stored['uid']}", {"expire_at": (now() + timedelta(hours=1)).isoformat()}).status_code
        == 200
    )
    for answer in (
        reader.send_file("b", b"x"),
        reader.send_file("", b"x"),
        reader.send_file("a", b"y", method="PUT"),
        reader.delete("/v1/objects/a"),
        reader.delete("/v1/objects/?all=true"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "read_only")
    assert traces() == before


def test_a_neighbour_sees_nothing_and_changes_nothing(caller, neighbour):
    stored = caller.send_file("a", b"x").json()
    before = traces()
    assert neighbour.get("/v1/objects/").json()["count"] == 0
    assert neighbour.get("/v1/objects/a").json()["count"] == 0
    assert neighbour.get(f"/v1/objects/?uid={stored['uid']}").json()["count"] == 0
    assert neighbour.get(f"/v1/contents/{stored['uid']}/").status_code == 404
    assert neighbour.put(f"/v1/presigned-urls/download/{stored['uid']}", {"expire_at": now().isoformat()}).status_code == 404
    assert neighbour.delete("/v1/objects/a").status_code == 404
    assert neighbour.delete(f"/v1/objects/?uid={stored['uid']}").status_code == 404
    assert traces() == before


def test_a_token_without_a_storage_scope_opens_nothing(user, project):
    consumer = StorageCaller(user, project.pk, storage=False)
    refusal = consumer.get("/v1/objects/")
    assert (refusal.status_code, refusal.json()["code"]) == (403, "wrong_scope")


def test_json_that_is_nested_too_deeply_is_refused(caller):
    stored = caller.send_file("a", b"x").json()
    answer = caller.generic("PUT", f"/v1/presigned-urls/download/{stored['uid']}", b"[" * 100_000, content_type="application/json")
    assert answer.status_code == 400


def test_a_look_at_a_list_is_allowed(caller):
    assert caller.head("/v1/objects/").status_code == 200


def test_an_api_token_is_told_how_to_get_the_right_one(api, user):
    refusal = api(user).get("/v1/objects/")
    assert (refusal.status_code, refusal["WWW-Authenticate"]) == (401, "Bearer")
    assert "jwt/?storage=true" in refusal.json()["detail"]
