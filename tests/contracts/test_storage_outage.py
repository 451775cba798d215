"""kill -9 of the object store in the middle of an upload to the whole service: told or not even noticed, and nothing is left behind."""

from __future__ import annotations

import hashlib
import random

import psycopg
import pytest

from tests.contracts.storage_client import client_session
from tests.contracts.storage_facts import keys, project_id, storage_token
from tests.stack import wait_until
from tests.storage.web_process import SlowUpload

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150)]
VIDEO = random.Random(5).randbytes(30_000_000)
PATH = "belt.mp4"


@pytest.fixture
def project(person):
    person.must("project", "add", person.username, "outage")
    return person.one("/v1/projects/", name="outage", namespace=person.username)["url"]


def uploads(stack, project):
    """Return the store's ids of uploads under way."""
    query = "SELECT store_id FROM storage_upload WHERE project_id = %s"
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        return [store_id for (store_id,) in connection.execute(query, [project_id(project)])]


def upload_through(stack, token, fault):
    """Upload the video; strike when its first parts are on their way. Returns status and JSON."""
    with SlowUpload(stack.port, token, PATH, VIDEO) as upload:
        upload.send(len(VIDEO) // 2)
        fault()
        return upload.finish()


def test_an_upload_during_which_the_store_dies_succeeds_or_is_refused_in_words(stack, person, project):
    token, old = storage_token(person, project), stack.pid("seaweedfs")

    def strike():
        wait_until(lambda: any(uploads(stack, project)), seconds=20, what="an upload in parts")
        stack.kill("seaweedfs")

    status, told = upload_through(stack, token, strike)
    assert (status, told.get("code")) in ((201, None), (503, "object_store")), told
    stack.wait_restarted("seaweedfs", old)
    if status == 503:
        status, told = upload_through(stack, token, lambda: None)
    assert (status, told["sha256"]) == (201, hashlib.sha256(VIDEO).hexdigest())
    with client_session(person, is_async=False, project=project) as storage:
        assert storage.read(told)["sha256"] == told["sha256"]
    assert uploads(stack, project) == []
    wait_until(
        lambda: stack.manage("storage_sweep") and len(keys(stack, project_id(project))) == 1, seconds=60, what="one key in the bucket"
    )
    assert "all is whole" in stack.manage("storage_check", "--project", str(project_id(project)))
