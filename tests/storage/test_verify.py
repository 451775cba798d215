"""Workers that read what came in parts."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest

from controlplane.common.clock import now
from controlplane.common.errors import Unavailable
from storage import verify
from storage.bucket import Part, bucket
from storage.models import Space, StoredObject, Upload, UploadState
from storage.sweep import sweep
from storage.verify import take_upload, verify_upload
from tests.storage.builders import keys_in_bucket
from tests.storage.uploading import PICTURE, begin, complete, send, state, verify_all


@pytest.fixture
def sent(monkeypatch):
    """Uploads that the sweep sends to a worker."""
    found: list[UUID] = []
    monkeypatch.setattr("storage.sweep.send_verify", found.append)
    return found


def test_an_upload_whose_worker_died_goes_to_another(caller, clock, sent):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    taken = Upload.objects.get()
    sweep()
    assert sent == [taken.pk]
    assert take_upload(taken.pk)
    assert take_upload(taken.pk) is None
    sweep()
    assert sent == [taken.pk]
    clock.advance(seconds=61)
    sweep()
    assert sent == [taken.pk] * 2
    verify_all()
    assert state(caller, upload)["state"] == "done"


def test_an_upload_that_cannot_be_read_for_days_fails(caller, clock, sent, monkeypatch):
    def away(*_):
        raise Unavailable("object_store", "The object store does not answer.")

    upload = begin(caller, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    with monkeypatch.context() as patch:
        patch.setattr("storage.bucket.Bucket.look", away)
        verify_all()
    assert state(caller, upload)["state"] == "verifying"
    clock.advance(days=4)
    assert sweep().failed == 1
    assert state(caller, upload)["problem"]["code"] == "not_verified"
    assert not sent


def test_two_workers_that_verify_the_same_upload_make_one_object(caller, clock):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    frozen = take_upload()
    clock.advance(seconds=61)
    other = take_upload()
    assert frozen
    assert other
    verify_upload(other)
    verify_upload(frozen)
    assert state(caller, upload)["state"] == "done"
    assert StoredObject.objects.count() == 1
    assert len(keys_in_bucket()) == 1
    assert Space.objects.get().count == 1


def test_a_worker_that_reads_for_long_keeps_its_upload(caller, clock, monkeypatch):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    monkeypatch.setattr(verify, "BEAT_SECONDS", -1.0)
    taken = verify.take_upload()
    assert taken
    clock.advance(seconds=50)
    verify.hash_of(taken, len(PICTURE))
    assert Upload.objects.get().expires_at > now() + timedelta(seconds=100)
    caller.delete(f"/v1/uploads/{upload['uid']}/")
    verify.verify_upload(taken)
    assert not StoredObject.objects.exists()


def test_no_more_than_so_many_uploads_are_read_at_a_time(caller, monkeypatch):
    uploads = [begin(caller, PICTURE, "multipart") for _ in range(3)]
    for upload in uploads:
        send(upload, PICTURE)
        complete(caller, upload)
    monkeypatch.setattr(verify, "_running", threading.BoundedSemaphore(1))
    first = Upload.objects.earliest("id").pk
    with verify._running:
        assert verify.verify_waiting(first) == 0
    assert verify.verify_waiting(first) == 3
    assert {state(caller, upload)["state"] for upload in uploads} == {UploadState.DONE}


def test_bytes_that_vanished_before_they_were_read_fail_the_upload(caller):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    bucket().delete([Upload.objects.get().key])
    verify_all()
    assert state(caller, upload)["state"] == "failed"


def test_parts_that_the_store_has_lost_fail_the_upload(caller):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    row = Upload.objects.get()
    bucket().drop_parts(row.key, row.store_id)
    answer = complete(caller, upload, parts=[{"number": 1, "etag": "x"}])
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_expired")
    assert state(caller, upload)["state"] == "failed"
    assert state(caller, upload)["received"] == []


def test_parts_that_another_call_has_joined_are_verified(caller):
    """The first call broke off after the store had joined them."""
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    row = Upload.objects.get()
    parts = bucket().parts(row.key, row.store_id)
    bucket().join_parts(row.key, row.store_id, [Part(part.number, part.etag) for part in parts])
    assert complete(caller, upload).status_code == 202
    verify_all()
    assert state(caller, upload)["state"] == "done"
