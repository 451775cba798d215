"""What beat and the hints start."""

from __future__ import annotations

import pytest
from django.conf import settings

from controlplane.celery import app
from storage import tasks
from storage.models import DiscardedKey, StoredObject, Upload
from tests.storage.builders import StorageCaller, access_to, store_file
from tests.storage.uploading import PICTURE, begin, complete, send, state


@pytest.fixture
def sent(monkeypatch):
    """Tasks that are sent, by name and arguments."""
    found: list[tuple[str, list[str]]] = []
    monkeypatch.setattr("storage.wakeups.send_task", lambda name, args=(), **_: found.append((name, list(args))))
    return found


@pytest.fixture
def quay(transactional_db, user, project):
    """A caller whose commits are real."""
    return StorageCaller(user, project.pk)


def test_every_entry_of_beat_is_a_task_that_workers_know():
    app.loader.import_default_modules()
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)
    assert {"storage.sweep", "storage.verify_upload", "storage.check"} <= set(app.tasks)


def test_completing_parts_asks_for_a_worker_that_reads_them(quay, sent):
    upload = begin(quay, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    complete(quay, upload)
    assert sent == [("storage.verify_upload", [upload["uid"]])]
    tasks.verify_upload_task(*sent[0][1])
    assert state(quay, upload)["state"] == "done"
    tasks.verify_upload_task(upload["uid"])
    assert StoredObject.objects.count() == 1


def test_aborting_and_deleting_ask_for_a_sweep(quay, sent, project):
    upload = begin(quay, PICTURE, "put", path="one.png")
    quay.delete(f"/v1/uploads/{upload['uid']}/")
    store_file(access_to(project), PICTURE, "two.png")
    quay.delete("/v1/objects/two.png")
    assert sent == [("storage.sweep", [])] * 2
    tasks.sweep_task()
    assert DiscardedKey.objects.count() == 1  # the aborted one is removed once more when its address has ended


def test_a_hint_that_cannot_be_sent_harms_nothing(quay, monkeypatch):
    def no_broker(*_, **__):
        raise ConnectionError("no broker")

    monkeypatch.setattr("storage.wakeups.send_task", no_broker)
    upload = begin(quay, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    assert complete(quay, upload).status_code == 202
    assert Upload.objects.get().state == "verifying"


def test_the_daily_check_runs(quay, caplog):
    caplog.set_level("INFO", "storage.check")
    tasks.check_task()
    assert "0 objects, 0 bytes, 0 findings" in caplog.text
