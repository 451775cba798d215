"""Copies that must have a hash, deletions of many objects, links that deliver the bytes as they are, and broken constraints."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
import requests
from django.db import IntegrityError, transaction

from controlplane.audit.models import AuditEntry
from controlplane.common.clock import now
from controlplane.common.errors import Conflict, InvalidInput
from storage.bucket import bucket
from storage.models import DiscardedKey, Space, StoredObject, Upload
from storage.services import copy_object, delete_everything, presign_download
from storage.uploads import discard
from tests.storage.builders import store_file, traces
from tests.storage.uploading import PICTURE, begin, complete

HASH = hashlib.sha256(PICTURE).hexdigest()


def test_a_copy_of_other_bytes_than_announced_is_refused_before_anything_is_copied(access):
    source = store_file(access, PICTURE, "one.png")
    before = traces()
    with pytest.raises(InvalidInput, match=HASH):
        copy_object(access, source.pk, path="two.png", overwrite=False, sha256="0" * 64)
    assert traces() == before
    assert not Upload.objects.exists()
    assert not DiscardedKey.objects.exists()
    assert copy_object(access, source.pk, path="two.png", overwrite=False, sha256=HASH).sha256 == HASH


def test_many_objects_are_deleted_in_several_transactions_and_told_once(access, monkeypatch):
    monkeypatch.setattr("storage.services.DELETED_TOGETHER", 3)
    keys = {store_file(access, b"x", f"{number}.bin" if number % 2 else None).key for number in range(8)}
    batches = []

    def counted(noted):
        listed = list(noted)
        batches.append(len(listed))
        discard(listed)

    monkeypatch.setattr("storage.services.discard", counted)
    assert delete_everything(access) == 8
    assert batches == [3, 3, 2]
    assert not StoredObject.objects.exists()
    assert set(DiscardedKey.objects.values_list("key", flat=True)) == keys
    assert set(Space.objects.values_list("count", "used_bytes", "temporary_count", "temporary_bytes")) == {(0, 0, 0, 0)}
    assert [entry.details["objects"] for entry in AuditEntry.objects.filter(action="storage.delete")] == [8]


def test_a_deletion_that_breaks_off_keeps_what_it_has_done(transactional_db, access, monkeypatch):
    monkeypatch.setattr("storage.services.DELETED_TOGETHER", 2)
    for number in range(5):
        store_file(access, b"x", f"{number}.bin")
    calls = []

    def broken(keys):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("broken")
        discard(keys)

    monkeypatch.setattr("storage.services.discard", broken)
    with pytest.raises(RuntimeError):
        delete_everything(access)
    assert StoredObject.objects.count() == Space.objects.get().count == 1
    assert DiscardedKey.objects.count() == 4


def test_links_deliver_bytes_as_they_are_whatever_encoding_their_sender_told_the_store(caller, access):
    upload = begin(caller, PICTURE, "put", path="one.png")
    request = upload["request"]
    sent = requests.put(request["url"], data=PICTURE, headers=request["headers"] | {"Content-Encoding": "gzip"}, timeout=30)
    assert sent.status_code == 200
    assert complete(caller, upload).status_code == 201
    stored = StoredObject.objects.get()
    answer = requests.get(presign_download(access, stored.pk, expire_at=now() + timedelta(hours=1)), timeout=30, stream=True)
    assert answer.status_code == 200
    assert answer.headers.get("Content-Encoding", "identity") == "identity"
    assert answer.content == PICTURE


def test_only_a_path_that_is_taken_is_told_as_one(caller, access, monkeypatch):
    """Any other constraint that breaks is our mistake, not the client's."""
    taken = store_file(access, PICTURE, "one.png")
    monkeypatch.setattr("storage.uploads.object_at", lambda *_: None)
    with pytest.raises(Conflict) as refused:
        store_file(access, PICTURE, "one.png")
    assert refused.value.code == "path_exists"
    monkeypatch.setattr("storage.uploads.new_key", lambda _: taken.key)
    with pytest.raises(IntegrityError), transaction.atomic():
        store_file(access, PICTURE, "two.png")
    assert bucket().look(taken.key).size == len(PICTURE)
