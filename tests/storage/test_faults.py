"""Refusals and faults of uploads leave nothing behind: no row, no bytes, no reserved room. And two at a time do not get in each other's way."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from controlplane.common.errors import Conflict, NotFound, SlipwayError, TooLarge, Unavailable
from controlplane.projects.services import delete_project
from storage import services, transfer, uploads
from storage.bucket import Bucket
from storage.models import DiscardedKey, Space, StoredObject, Upload, UploadKind
from storage.space import space_use
from storage.sweep import sweep
from storage.uploads import Wanted, begin_upload
from tests.factories import make_project
from tests.storage.builders import access_to, keys_in_bucket, store_file, traces

pytestmark = pytest.mark.django_db
PART = transfer.PART
WANTED = Wanted(path="a", content_type="text/plain")


def quota(project: Any, size: int) -> None:
    """Give a project so much room."""
    Space.objects.update_or_create(project=project, defaults={"quota_bytes": size})


def test_what_does_not_fit_is_refused_before_a_byte_is_stored(caller, project, monkeypatch):
    quota(project, 1000)
    caller.send_file("a", bytes(600))
    before = traces()
    stored = []
    monkeypatch.setattr(Bucket, "put", lambda *_: stored.append("put"))
    monkeypatch.setattr(Bucket, "begin_parts", lambda *_: stored.append("parts"))
    for size in (401, PART + 1, 3 * PART):
        refusal = caller.send_file("b", bytes(size))
        assert (refusal.status_code, refusal.json()["code"]) == (413, "storage_full")
        assert "400 bytes of 1.0 KB left" in refusal.json()["detail"]
    assert stored == []
    assert traces() == before


def test_the_last_byte_fits(caller, project):
    quota(project, 1000)
    assert caller.send_file("a", bytes(1000)).status_code == 201
    assert caller.send_file("b", b"x").status_code == 413
    assert caller.send_file("b", b"").status_code == 201


def test_a_large_file_that_fits_to_the_byte_is_taken(caller, project):
    quota(project, PART + 1000)
    assert caller.send_file("a", bytes(PART + 1001)).status_code == 413
    assert caller.send_file("a", bytes(PART + 1000)).status_code == 201


def test_overwriting_needs_room_for_the_difference_alone(caller, project):
    quota(project, 1000)
    caller.send_file("a", bytes(900))
    assert caller.send_file("a", bytes(1000), method="PUT").status_code == 201
    assert caller.send_file("a", bytes(1001), method="PUT").status_code == 413
    assert caller.get("/v1/infos").json()["used_bytes"] == 1000


def test_a_copy_needs_room(caller, project):
    quota(project, 1000)
    source = caller.send_file("a", bytes(600)).json()
    before = traces()
    assert caller.send_file("b", b"", fields={"copy_from": source["uid"]}).status_code == 413
    assert traces() == before


def test_uploads_under_way_hold_their_room(access, project):
    quota(project, 1000)
    begin_upload(access, Wanted(path="big", content_type="x/y", size=700), kind=UploadKind.STREAM, life=timedelta(minutes=1))
    assert space_use(project.pk).reserved_bytes == 700
    with pytest.raises(TooLarge):
        store_file(access, bytes(301), "b")
    store_file(access, bytes(300), "c")


def test_a_stream_of_unknown_length_stops_where_the_room_ends(access, project):
    quota(project, 3 * PART)
    before = traces()
    chunks = iter([bytes(PART // 4)] * 40)
    with pytest.raises(TooLarge):
        services.store_stream(access, WANTED, chunks, to_come=lambda: 0, after=lambda: WANTED)
    assert len(list(chunks)) > 20
    sweep()
    assert traces() == before


def test_only_so_many_objects_are_kept(caller, settings):
    settings.STORAGE_MAX_OBJECTS = 2
    caller.send_file("a", b"")
    caller.send_file("", b"")
    refusal = caller.send_file("b", b"")
    assert (refusal.status_code, refusal.json()["code"]) == (413, "too_many_objects")
    assert caller.send_file("a", b"over", method="PUT").status_code == 201


STEPS = [
    (Upload.objects, "create"),
    (Bucket, "begin_parts"),
    (Bucket, "put_part"),
    (Bucket, "join_parts"),
    (services, "finish_upload"),
    (uploads, "put_in_place"),
    (uploads, "close_upload"),
]


@pytest.mark.parametrize(("where", "step"), STEPS, ids=[step for _, step in STEPS])
@pytest.mark.parametrize("error", [Unavailable("object_store", "away"), RuntimeError("a fault of ours"), KeyboardInterrupt()], ids=type)
def test_a_fault_at_any_step_leaves_nothing(access, monkeypatch, where, step, error):
    before = traces()

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(where, step, fail)
        with pytest.raises(type(error)):
            store_file(access, bytes(2 * PART + 5), "a")
    sweep()
    assert traces() == before
    store_file(access, bytes(2 * PART + 5), "a")


@pytest.mark.parametrize("sent", [0, 1, PART + 1, 3 * PART + 7])
def test_a_client_that_goes_away_leaves_nothing(access, sent):
    before = traces()

    def broken():
        yield bytes(sent)
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        services.store_stream(access, WANTED, broken(), to_come=lambda: 10, after=lambda: WANTED)
    sweep()
    assert traces() == before


def test_a_failed_upload_over_an_object_keeps_the_object(access, monkeypatch):
    stored = store_file(access, b"first", "a")
    before = traces()
    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "put", lambda *_: (_ for _ in ()).throw(Unavailable("object_store", "away")))
        with pytest.raises(Unavailable):
            store_file(access, b"second", "a")
    sweep()
    assert traces() == before
    assert StoredObject.objects.get().key == stored.key


def test_an_upload_that_was_given_up_makes_no_object(access, monkeypatch):
    before = traces()
    plain = uploads.finish_upload

    def too_late(upload: Upload, **told: Any) -> StoredObject:
        uploads.abandon_upload(upload)
        return plain(upload, **told)

    monkeypatch.setattr(services, "finish_upload", too_late)
    with pytest.raises(Conflict, match="given up"):
        store_file(access, b"late", "a")
    sweep()
    assert traces() == before


def test_an_abandoned_finish_never_discards_the_bytes_of_an_object(access):
    upload = begin_upload(access, WANTED, kind=UploadKind.STREAM, life=timedelta(minutes=1))
    uploads.finish_upload(upload, size=0, sha256="0" * 64)
    assert uploads.abandon_upload(upload) is False
    assert not DiscardedKey.objects.exists()


def test_a_project_with_objects_is_not_deleted(user, project, access):
    store_file(access, b"kept", "a")
    with pytest.raises(Conflict, match="1 objects"):
        delete_project(actor=user, project_id=project.pk)
    assert StoredObject.objects.exists()


def test_temporary_objects_and_uploads_go_with_their_project(user, project, access):
    store_file(access, b"passing")
    begin_upload(access, WANTED, kind=UploadKind.STREAM, life=timedelta(minutes=1))
    delete_project(actor=user, project_id=project.pk)
    sweep()
    assert traces() == {"objects": [], "uploads": [], "spaces": [], "keys": [], "parts": []}
    with pytest.raises(NotFound):
        store_file(access, b"late")
    assert keys_in_bucket() == []


def together(work: Any, count: int) -> list[Any]:
    """Run work(number) in threads at once and return what each returned or raised."""
    found: list[Any] = [None] * count
    start = threading.Barrier(count)

    def one(number: int) -> None:
        start.wait(10)
        try:
            found[number] = work(number)
        except SlipwayError as error:
            found[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.django_db(transaction=True)
def test_of_many_uploads_to_one_path_one_wins(user):
    project = make_project(user)
    access = access_to(project)
    wanted = Wanted(path="a", content_type="x/y")

    def upload(number: int) -> Any:
        return services.store_stream(access, wanted, iter([b"%d" % number]), to_come=lambda: 0, after=lambda: wanted)

    found = together(upload, 6)
    assert sorted(type(one).__name__ for one in found) == ["Conflict"] * 5 + ["StoredObject"]
    assert space_use(project.pk).count == 1
    sweep()
    assert len(keys_in_bucket()) == 1


@pytest.mark.django_db(transaction=True)
def test_uploads_at_once_never_go_over_the_quota(user):
    project = make_project(user)
    quota(project, 1000)
    access = access_to(project)
    found = together(lambda number: store_file(access, bytes(300), f"n{number}"), 6)
    assert sum(isinstance(one, StoredObject) for one in found) == 3
    use = space_use(project.pk)
    assert (use.used_bytes, use.reserved_bytes) == (900, 0)


@pytest.mark.django_db(transaction=True)
def test_overwriting_and_deleting_at_once_keep_count_and_bytes_together(user):
    project = make_project(user)
    access = access_to(project)
    for _ in range(3):
        store_file(access, b"first", "a")
        together(lambda number: services.delete_objects(access, "a", exact=True) if number else store_file(access, b"second!", "a"), 3)
        rows = list(StoredObject.objects.values_list("size", flat=True))
        assert (space_use(project.pk).count, space_use(project.pk).used_bytes) == (len(rows), sum(rows))
        services.delete_everything(access)
    for key in DiscardedKey.objects.all():
        assert not StoredObject.objects.filter(key=key.key).exists()
