"""What Celery does with the database's connection around a task."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import pytest
from celery.signals import worker_ready
from django.db import connection, connections

from controlplane.celery import app
from controlplane.celery_fixup import KeepingWorkerFixup
from deployments.models import Deployment

pytestmark = pytest.mark.django_db(transaction=True)
TASK = SimpleNamespace(request=SimpleNamespace(is_eager=False))


@pytest.fixture
def fixup() -> KeepingWorkerFixup:
    """What stands around each task; the tests call it as Celery does."""
    return KeepingWorkerFixup(app)


def pass_a_task(fixup: KeepingWorkerFixup) -> int:
    """Ask the database something in a task; return the process at the other end of the connection."""
    fixup.on_task_prerun(TASK)
    assert not Deployment.objects.exists()
    number: int = connection.connection.info.backend_pid
    fixup.on_task_postrun(TASK)
    return number


def test_the_application_has_this_fixup() -> None:
    assert [type(one.worker_fixup) for one in vars(app)["_fixups"]] == [KeepingWorkerFixup]


def test_what_the_imports_made_is_left_out_of_collections_once_a_worker_is_ready() -> None:
    worker_ready.send(sender=None)
    try:
        assert gc.get_freeze_count() > 100_000
    finally:
        gc.unfreeze()


def test_a_connection_outlives_a_task(fixup: KeepingWorkerFixup) -> None:
    assert pass_a_task(fixup) == pass_a_task(fixup)


def test_a_connection_that_is_too_old_is_replaced(fixup: KeepingWorkerFixup) -> None:
    former = pass_a_task(fixup)
    connection.close_at = 0
    assert pass_a_task(fixup) != former


def test_a_connection_that_the_database_ended_is_replaced_before_the_next_task(fixup: KeepingWorkerFixup) -> None:
    former = pass_a_task(fixup)
    other = connections.create_connection("default")
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [former])
    other.close()
    assert pass_a_task(fixup) != former
