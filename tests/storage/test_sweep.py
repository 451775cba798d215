"""The sweep: what was given up, what has expired, what nobody refers to any more."""

from __future__ import annotations

import threading

import pytest
import requests
from django.core.management import call_command
from django.db import connection, transaction

from controlplane.common.errors import Unavailable
from storage.bucket import bucket
from storage.models import DiscardedKey, Space, StoredObject, Upload, UploadKind
from storage.receivers import clear_project
from storage.sweep import Swept, sweep
from storage.transfer import LIFE
from storage.uploads import Wanted, begin_upload, discard
from tests.factories import make_project
from tests.storage.builders import access_to, store_file, traces
from tests.storage.uploading import PICTURE, announced, begin, complete, post_or_put, send, settle, state


def everything_in_bucket() -> list[str]:
    """Return all keys, those that wait for their removal among them."""
    return [held.key for held in bucket().walk("objects/")]


def begin_stream(access) -> Upload:
    """Write the intent of a stream."""
    return begin_upload(access, Wanted(path="one.bin", content_type="image/png", size=100), kind=UploadKind.STREAM, life=LIFE)


def test_with_nothing_to_do_nothing_is_said(db, capsys, caplog):
    caplog.set_level("INFO", "storage.sweep")
    call_command("storage_sweep")
    assert capsys.readouterr().out == "nothing to do\n"
    assert not [record for record in caplog.records if record.name == "storage.sweep"]


def test_a_stream_without_a_sign_of_life_is_given_up_with_its_bytes(access, clock, caplog):
    caplog.set_level("INFO", "storage.sweep")
    upload = begin_stream(access)
    bucket().put(upload.key, b"half", "image/png")
    sweep()
    assert everything_in_bucket() == [upload.key]
    clock.advance(seconds=LIFE.total_seconds() + 1)
    swept = sweep()
    assert (swept.abandoned, swept.removed) == (1, 1)
    assert everything_in_bucket() == []
    assert not Upload.objects.exists()
    assert "1 abandoned, 1 removed" in caplog.text


def test_parts_whose_id_was_never_written_down_are_dropped(access, clock):
    """The process died between the store's answer and the note of it."""
    upload = begin_stream(access)
    for _ in range(2):
        store_id = bucket().begin_parts(upload.key, "image/png")
        bucket().put_part(upload.key, store_id, 1, b"half")
    clock.advance(hours=1)
    sweep()
    assert not list(bucket().unjoined("objects/"))


def test_what_a_frozen_uploader_writes_after_it_was_given_up_goes_a_day_later(access, clock):
    upload = begin_stream(access)
    clock.advance(hours=1)
    sweep()
    bucket().put(upload.key, b"late", "image/png")
    bucket().begin_parts(upload.key, "image/png")
    clock.advance(hours=23)
    sweep()
    assert everything_in_bucket() == [upload.key]
    clock.advance(hours=2)
    sweep()
    assert everything_in_bucket() == []
    assert not list(bucket().unjoined("objects/"))
    assert not DiscardedKey.objects.exists()


@pytest.mark.parametrize("method", ["put", "post", "multipart"])
def test_a_direct_upload_that_nobody_completes_is_given_up_when_its_addresses_end(caller, clock, method):
    upload = begin(caller, PICTURE, method)
    send(upload, PICTURE)
    clock.advance(hours=23)
    assert sweep().abandoned == 0
    clock.advance(hours=2)
    assert sweep().abandoned == 1
    assert caller.get("/v1/infos").json()["reserved_bytes"] == 0
    assert complete(caller, upload).status_code == 404
    settle(clock)
    assert everything_in_bucket() == []


def test_bytes_that_are_sent_again_after_their_object_was_deleted_go_within_minutes(caller, clock):
    upload = begin(caller, PICTURE, "put", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    caller.delete("/v1/objects/one.png")
    sweep()
    assert everything_in_bucket() == []
    post_or_put(upload["request"], PICTURE)
    clock.advance(minutes=11)
    sweep()
    assert everything_in_bucket() == []
    settle(clock)
    assert not DiscardedKey.objects.exists()


@pytest.mark.parametrize("method", ["put", "post"])
def test_bytes_that_come_after_an_abort_go_within_minutes_again_and_again(caller, clock, method):
    """Nobody counts them: else who aborts and sends all the same could fill the store."""
    upload = begin(caller, PICTURE, method)
    caller.delete(f"/v1/uploads/{upload['uid']}/")
    sweep()
    for _ in range(3):
        send(upload, PICTURE)
        assert len(everything_in_bucket()) == 1
        clock.advance(minutes=11)
        assert sweep().removed == 1
        assert everything_in_bucket() == []
    clock.advance(hours=47)
    sweep()
    assert DiscardedKey.objects.exists()
    clock.advance(hours=1)
    sweep()
    assert not DiscardedKey.objects.exists()


def test_parts_that_come_after_an_abort_are_refused_by_the_store(caller):
    upload = begin(caller, PICTURE, "multipart")
    caller.delete(f"/v1/uploads/{upload['uid']}/")
    sweep()
    assert requests.put(upload["parts"][0]["url"], data=PICTURE, timeout=30).status_code == 404
    assert everything_in_bucket() == []


def test_bytes_that_come_after_their_project_was_deleted_go_within_minutes(caller, project, clock):
    """The object was deleted just before: no sweep has noted yet that its address is still good."""
    upload = begin(caller, PICTURE, "put", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    caller.delete("/v1/objects/one.png")
    with transaction.atomic():
        clear_project(project)
    for _ in range(2):
        sweep()
        assert everything_in_bucket() == []
        send(upload, PICTURE)
        clock.advance(minutes=11)
    sweep()
    assert everything_in_bucket() == []


def test_addresses_of_aborted_uploads_count_until_they_end(caller, clock, monkeypatch):
    monkeypatch.setattr("storage.direct.MOST_SIGNED", 2)
    aborted = begin(caller, PICTURE, "put")
    caller.delete(f"/v1/uploads/{aborted['uid']}/")
    parts = begin(caller, PICTURE, "multipart")
    caller.delete(f"/v1/uploads/{parts['uid']}/")
    done = begin(caller, PICTURE, "post", path="one.png")
    send(done, PICTURE)
    complete(caller, done)
    begin(caller, PICTURE, "put")
    caller.delete("/v1/objects/one.png")
    sweep()
    answer = caller.post("/v1/uploads/", announced(PICTURE, "put"), format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_addresses")
    clock.advance(hours=25)
    begin(caller, PICTURE, "put")


def test_addresses_of_others_do_not_count(caller, neighbour, monkeypatch):
    monkeypatch.setattr("storage.direct.MOST_SIGNED", 1)
    neighbours = begin(neighbour, PICTURE, "put")
    neighbour.delete(f"/v1/uploads/{neighbours['uid']}/")
    begin(caller, PICTURE, "put")


def test_an_upload_whose_parts_are_sent_again_and_again_fails(caller, clock, monkeypatch):
    monkeypatch.setattr("storage.sweep.SPARE_PARTS", 0)
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    other = begin(caller, PICTURE, "multipart", path="two.png")
    for number in range(2):
        send(upload, bytes([number]) * len(PICTURE))
        send(other, PICTURE)
    assert sweep().failed == 0
    send(upload, PICTURE)
    assert sweep().failed == 0
    clock.advance(minutes=11)
    assert sweep().failed == 1
    seen = state(caller, upload)
    assert (seen["state"], seen["problem"]["code"]) == ("failed", "parts_too_large")
    assert state(caller, other)["state"] == "open"
    sweep()
    assert [key for key, _, _ in bucket().unjoined("objects/")] == [Upload.objects.get(path="two.png").key]


def test_parts_are_weighed_in_all_their_versions_over_several_pages(access, monkeypatch):
    """A page of the store's list begins after a part's number: versions at the end of the page before would be left out."""
    monkeypatch.setattr("storage.bucket.LISTED_AT_ONCE", 4)
    key = "objects/one"
    store_id = bucket().begin_parts(key, "image/png")
    for number in (1, 2, 3, 4, 4, 4, 6, 7, 7, 8):
        bucket().put_part(key, store_id, number, b"x" * number)
    assert bucket().weigh_parts(key, store_id) == 1 + 2 + 3 + 4 * 3 + 6 + 7 * 2 + 8
    for _ in range(4):
        bucket().put_part(key, store_id, 7, b"other")
    assert bucket().weigh_parts(key, store_id) is None


def test_all_uploads_in_parts_are_weighed_some_at_a_time(caller, monkeypatch):
    monkeypatch.setattr("storage.sweep.WEIGHED_TOGETHER", 2)
    for _ in range(5):
        begin(caller, PICTURE, "multipart")
    sweep()
    assert not Upload.objects.filter(weighed_at=None).exists()


def test_an_upload_that_runs_is_left_alone(access, caller, clock):
    begin_stream(access)
    begin(caller, PICTURE, "multipart", path="two.png")
    before = traces()
    clock.advance(seconds=60)
    sweep()
    assert traces() == before


def test_temporary_objects_end_after_an_hour_and_their_bytes_when_readers_are_done(access, caller, clock):
    kept = store_file(access, PICTURE, "kept.png")
    temporary = store_file(access, PICTURE)
    clock.advance(minutes=61)
    assert caller.get(f"/v1/objects/?uid={temporary.pk}").json()["count"] == 0
    assert sweep().expired == 1
    assert list(StoredObject.objects.all()) == [kept]
    space = Space.objects.get()
    assert (space.count, space.used_bytes, space.temporary_count, space.temporary_bytes) == (1, len(PICTURE), 0, 0)
    assert len(everything_in_bucket()) == 2
    clock.advance(minutes=16)
    sweep()
    assert everything_in_bucket() == [kept.key]


def test_ended_uploads_are_forgotten_after_a_day(caller, clock):
    upload = begin(caller, PICTURE, "put", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    clock.advance(hours=23)
    sweep()
    assert state(caller, upload)["state"] == "done"
    clock.advance(hours=2)
    assert sweep().forgotten == 1
    assert caller.get(f"/v1/uploads/{upload['uid']}/").status_code == 404
    assert StoredObject.objects.count() == 1


def test_a_key_in_use_is_never_removed_and_the_mistake_is_logged(access, caller, caplog):
    stored = store_file(access, PICTURE, "one.png")
    begin(caller, PICTURE, "put")
    arriving = Upload.objects.get()
    bucket().put(arriving.key, PICTURE, "image/png")
    before = traces() | {"keys": sorted([stored.key, arriving.key])}
    discard([stored.key, arriving.key])
    assert sweep().removed == 0
    assert traces() == before
    assert not DiscardedKey.objects.exists()
    assert [record.levelname for record in caplog.records if "in use" in record.message] == ["ERROR"] * 2


def test_a_key_that_the_store_refuses_does_not_keep_the_others(access, clock, monkeypatch):
    keys = [f"objects/{number}" for number in range(3)]
    for key in keys:
        bucket().put(key, b"x", "image/png")
    discard(keys)
    whole = bucket().delete

    def grudging(self, given):
        return [keys[1], *whole([key for key in given if key != keys[1]])]

    with monkeypatch.context() as patch:
        patch.setattr("storage.bucket.Bucket.delete", grudging)
        swept = sweep()
    assert (swept.removed, swept.refused) == (2, 1)
    assert everything_in_bucket() == [keys[1]]
    assert sweep() == Swept()
    clock.advance(minutes=6)
    assert sweep().removed == 1
    assert everything_in_bucket() == []


def test_parts_that_the_store_refuses_to_drop_do_not_keep_the_others(access, clock, monkeypatch):
    first, second = begin_stream(access), begin_stream(access)
    for upload in (first, second):
        bucket().put(upload.key, b"half", "image/png")
    clock.advance(hours=1)
    whole = bucket().unjoined

    def grudging(self, prefix):
        if prefix == first.key:
            raise Unavailable("object_store", "No.")
        return whole(prefix)

    with monkeypatch.context() as patch:
        patch.setattr("storage.bucket.Bucket.unjoined", grudging)
        sweep()
    assert everything_in_bucket() == [first.key]
    clock.advance(minutes=6)
    sweep()
    assert everything_in_bucket() == []


def test_a_store_that_is_away_stops_no_other_step_and_is_tried_again(access, caller, clock, monkeypatch):
    store_file(access, PICTURE)
    caller.delete("/v1/objects/?all=true")
    store_file(access, PICTURE)
    clock.advance(minutes=61)

    def away(*_):
        raise Unavailable("object_store", "The object store does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr("storage.bucket.Bucket.delete", away)
        assert sweep().expired == 1
    assert len(everything_in_bucket()) == 2
    clock.advance(minutes=16)
    assert sweep().removed == 2
    assert everything_in_bucket() == []


def test_a_step_that_breaks_stops_no_other(access, clock, monkeypatch, caplog):
    def broken(_):
        raise RuntimeError("broken")

    monkeypatch.setattr("storage.sweep.abandon_expired_uploads", broken)
    store_file(access, PICTURE)
    clock.advance(minutes=61)
    assert sweep().expired == 1
    assert "broken failed, next try" in caplog.text


def test_more_than_one_batch_is_done_in_one_sweep(access, monkeypatch):
    monkeypatch.setattr("storage.sweep.DELETED_AT_ONCE", 3)
    keys = [f"objects/{number}" for number in range(8)]
    for key in keys:
        bucket().put(key, b"x", "image/png")
    discard(keys)
    assert sweep().removed == 8
    assert everything_in_bucket() == []


def test_sweeps_at_the_same_time_do_each_thing_once(transactional_db, user, clock):
    projects = [make_project(user, name) for name in ("one", "two", "three")]
    for project in projects:
        for _ in range(5):
            store_file(access_to(project), b"x")
    clock.advance(hours=2)
    results, start = [], threading.Barrier(4)

    def run():
        start.wait()
        try:
            results.append(sweep())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(swept.expired for swept in results) == 15
    assert DiscardedKey.objects.count() == 15
    assert set(Space.objects.values_list("count", "used_bytes", "temporary_count", "temporary_bytes")) == {(0, 0, 0, 0)}
    clock.advance(hours=1)
    sweep()
    assert everything_in_bucket() == []
