"""Calls that end the same upload at the same time: one of them wins, and nothing is left over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction

from controlplane.common.errors import SlipwayError
from storage.bucket import bucket
from storage.direct import abort_upload, complete_upload
from storage.models import DiscardedKey, Space, StoredObject, Upload, UploadKind
from storage.receivers import clear_project
from storage.sweep import Swept, abandon_expired_uploads, sweep
from storage.uploads import Wanted, begin_upload, discard_upload
from tests.storage.builders import access_to
from tests.storage.uploading import PICTURE, begin, send, settle, verify_all

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_hints(monkeypatch):
    """Keep hints out of the broker."""
    monkeypatch.setattr("storage.wakeups.send_task", lambda *_, **__: None)


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Run calls in threads that start together; returns what each returned or refused."""
    start, results = threading.Barrier(len(calls)), []

    def run(call: Callable[[], object]) -> None:
        start.wait()
        try:
            results.append(call())
        except SlipwayError as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("method", ["put", "multipart"])
def test_completing_at_the_same_time_makes_one_object(caller, access, method):
    upload = begin(caller, PICTURE, method, path="one.png")
    send(upload, PICTURE)
    pk = Upload.objects.get().pk
    results = at_once(*[lambda: complete_upload(access, pk).state] * 4)
    assert set(results) == {"verifying" if method == "multipart" else "done"}
    verify_all()
    assert StoredObject.objects.count() == 1
    assert Space.objects.get().count == 1
    assert not DiscardedKey.objects.exists()


@pytest.mark.parametrize("method", ["put", "multipart"])
def test_completing_and_aborting_at_the_same_time_ends_in_an_object_or_in_nothing(caller, access, clock, method):
    for number in range(4):
        upload = begin(caller, PICTURE, method, path=f"{number}.png")
        send(upload, PICTURE)
        pk = Upload.objects.get(path=f"{number}.png").pk
        at_once(partial(complete_upload, access, pk), partial(abort_upload, access, pk), sweep)
    verify_all()
    settle(clock)
    stored = set(StoredObject.objects.values_list("key", flat=True))
    assert {held.key for held in bucket().walk("objects/")} == stored
    assert Space.objects.get().count == len(stored)


def test_two_uploads_to_one_path_end_in_one_object(caller, project, clock):
    uploads = [begin(caller, PICTURE, "put", path="one.png") for _ in range(3)]
    for upload in uploads:
        send(upload, PICTURE)
    access = access_to(project)
    pks = list(Upload.objects.values_list("pk", flat=True))
    results = at_once(*[partial(complete_upload, access, pk) for pk in pks])
    assert sorted(getattr(result, "code", "done") for result in results) == ["done", "path_exists", "path_exists"]
    assert StoredObject.objects.count() == 1
    settle(clock)
    assert len(list(bucket().walk("objects/"))) == 1


def test_a_project_that_is_deleted_while_a_sweep_gives_its_uploads_up_does_not_lock_it_out(project, access, clock, monkeypatch):
    """Each notes the same keys, in another order: the sweep begins with the upload that ended first."""
    for seconds in (100, 50):
        begin_upload(access, Wanted(path=None, content_type="image/png"), kind=UploadKind.STREAM, life=timedelta(seconds=seconds))
    clock.advance(hours=1)
    begun, cleared = threading.Event(), threading.Event()

    def sweeping(upload: Upload) -> None:
        discard_upload(upload)
        begun.set()
        while not cleared.wait(0.01) and not somebody_waits_for_me():
            pass

    def clearing(upload: Upload) -> None:
        discard_upload(upload)
        cleared.set()

    def clear() -> None:
        assert begun.wait(30)
        try:
            with transaction.atomic():
                clear_project(project)
        finally:
            cleared.set()

    monkeypatch.setattr("storage.sweep.discard_upload", sweeping)
    monkeypatch.setattr("storage.receivers.discard_upload", clearing)
    swept = Swept()
    at_once(lambda: abandon_expired_uploads(swept), clear)
    assert swept.abandoned == 2
    assert DiscardedKey.objects.count() == 2


def somebody_waits_for_me() -> bool:
    """Tell whether a transaction waits for this thread's one. The table of locks is always live; that of activity is kept for a whole transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))")
        return bool(cursor.fetchone()[0])
