"""A web process is killed while it works under a key: what it had begun is gone, and the next try does it, once."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing

import pytest
from django.db import connection, transaction

from controlplane.accounts.keys import endpoint_token
from controlplane.api.models import IdempotencyKey
from controlplane.common.objectstore import object_store
from controlplane.projects.models import Workflow
from deployments.models import Deployment
from tests.api.idempotency import KEY
from tests.factories import make_project, make_token, make_workflow
from tests.storage.builders import StorageCaller
from tests.storage.web_process import SlowUpload, WebProcess, running, until

pytestmark = pytest.mark.django_db(transaction=True)
OFFER = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "S"}
PICTURE = bytes(range(256)) * 4096
HEADERS = {"Idempotency-Key": KEY}


@pytest.fixture
def web(tmp_path, transactional_db):
    with running(WebProcess(tmp_path / "web.log")) as started:
        yield started


def end_lease():
    """Let the lease of the dead end."""
    row = IdempotencyKey.objects.get()
    IdempotencyKey.objects.update(leased_until=row.created_at)


def somebody_waits():
    """Tell whether a connection waits for a lock of this one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")
        return cursor.fetchone()[0]


def ask(web, path, token):
    """POST a deployment under the key; returns status, whether it is a replay, and JSON."""
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json", **HEADERS}
    with closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)) as asked:
        asked.request("POST", path, json.dumps(OFFER), headers)
        answer = asked.getresponse()
        return answer.status, answer.getheader("Idempotency-Replayed") == "true", json.loads(answer.read())


def ask_in_vain(web, path, token):
    """Ask a process that is about to die."""

    def asking():
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(web, path, token)

    thread = threading.Thread(target=asking)
    thread.start()
    return thread


def test_what_was_not_committed_is_undone_and_the_next_try_does_it(web, user):
    workflow, token = make_workflow(make_project(user)), make_token(user)
    path = f"/v1/workflows/{workflow.pk}/deployments/"
    with transaction.atomic():
        Workflow.objects.select_for_update().get(pk=workflow.pk)
        thread = ask_in_vain(web, path, token)
        until(somebody_waits, "a request in the middle of its work")
        web.kill_worker()
        thread.join()
    web.wait_ready()
    assert ask(web, path, token)[2]["code"] == "idempotency_in_progress"
    end_lease()
    made, again = ask(web, path, token), ask(web, path, token)
    assert (made[0], made[1], again) == (201, False, (201, True, made[2]))
    assert Deployment.objects.count() == 1


def test_an_upload_that_was_cut_off_is_done_by_the_next_try(web, user):
    object_store().ensure_bucket()
    project = make_project(user)
    token = endpoint_token(user=user, project_id=project.pk, storage=True)

    def upload_all():
        with SlowUpload(web.port, token, "film.mp4", PICTURE, **HEADERS) as upload:
            return upload.finish()

    with SlowUpload(web.port, token, "film.mp4", PICTURE, **HEADERS) as upload:
        upload.send(600_000)
        until(IdempotencyKey.objects.exists, "a key")
        web.kill_worker()
    web.wait_ready()
    assert upload_all()[1]["code"] == "idempotency_in_progress"
    end_lease()
    made, again = upload_all(), upload_all()
    assert (made[0], again) == (201, made)
    assert StorageCaller(user, project.pk).get(f"/v1/contents/{made[1]['uid']}/").getvalue() == PICTURE
