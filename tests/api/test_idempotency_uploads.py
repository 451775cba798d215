"""Files under a key: their bytes are compared on the way, never held, and not stored again."""

from __future__ import annotations

import hashlib
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError

from controlplane.api.models import IdempotencyKey
from controlplane.projects.archive import pack_folder
from controlplane.projects.examples_catalogue import EXAMPLES
from controlplane.projects.models import WorkflowVersion
from storage.models import StoredObject, Upload
from tests.api.idempotency import KEY, refusal
from tests.factories import make_project
from tests.storage.builders import BOUNDARY, StorageCaller, form, keys_in_bucket, store_file, traces
from tests.storage.conftest import *  # noqa: F403 - its fixtures

pytestmark = pytest.mark.django_db
PICTURE = bytes(range(256)) * 4096
OTHER = bytes(reversed(PICTURE))


def send(caller, data, path="belt.png", *, method="POST", boundary=BOUNDARY, key=KEY, **options):
    """Upload a file under a key."""
    body = form(data, **options).replace(BOUNDARY.encode(), boundary.encode())
    kind = f"multipart/form-data; boundary={boundary}"
    return caller.generic(method, f"/v1/objects/{path}", body, content_type=kind, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("path", ["belt.png", ""], ids=["at a path", "temporary"])
def test_a_file_that_is_sent_twice_is_stored_once_whatever_the_boundary(caller, path):
    first = send(caller, PICTURE, path)
    before = traces()
    second = send(caller, PICTURE, path, boundary="another-and-a-longer-one")
    assert (first.status_code, second.content) == (201, first.content)
    assert second["Idempotency-Replayed"] == "true"
    assert traces() == before


def test_a_replay_does_not_bring_back_what_was_overwritten_since(caller):
    send(caller, PICTURE, method="PUT")
    send(caller, OTHER, method="PUT", key="the next")
    assert send(caller, PICTURE, method="PUT")["Idempotency-Replayed"] == "true"
    assert StoredObject.objects.get().sha256 == hashlib.sha256(OTHER).hexdigest()
    assert len(keys_in_bucket()) == 1


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (OTHER, {}),
        (PICTURE[:-1], {}),
        (PICTURE + b"x" * 200_000, {}),
        (PICTURE, {"content_type": "image/png"}),
        (PICTURE, {"fields": {"is_directory_archive": "true"}}),
    ],
    ids=["bytes", "shorter", "longer", "type", "field"],
)
def test_another_file_under_the_key_is_refused_and_nothing_stored(caller, data, options):
    send(caller, PICTURE)
    before = traces()
    assert refusal(send(caller, data, **options)) == (422, "idempotency_key_reused")
    assert traces() == before


def test_a_copy_under_the_key_of_a_file_is_refused(caller):
    uid = send(caller, PICTURE).json()["uid"]
    answer = caller.post("/v1/objects/belt.png", f"copy_from={uid}", content_type=URLENCODED, headers={"Idempotency-Key": KEY})
    assert refusal(answer) == (422, "idempotency_key_reused")


URLENCODED = "application/x-www-form-urlencoded"


def test_a_copy_is_made_once(caller, access):
    uid = store_file(access, PICTURE, "belt.png").pk
    answers = [caller.generic("POST", "/v1/objects/", f"copy_from={uid}", URLENCODED, headers={"Idempotency-Key": KEY}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert StoredObject.objects.count() == 2


def test_a_file_that_was_cut_off_leaves_its_key_free(caller):
    cut = form(PICTURE)[:-10_000]
    answer = caller.generic(
        "POST", "/v1/objects/belt.png", cut, f"multipart/form-data; boundary={BOUNDARY}", headers={"Idempotency-Key": KEY}
    )
    assert refusal(answer) == (400, "malformed")
    assert not IdempotencyKey.objects.exists()
    assert send(caller, PICTURE).status_code == 201


def test_a_file_that_is_cut_off_on_a_replay_is_another_one(caller):
    send(caller, PICTURE)
    cut = form(PICTURE)[:-10_000]
    answer = caller.generic(
        "POST", "/v1/objects/belt.png", cut, f"multipart/form-data; boundary={BOUNDARY}", headers={"Idempotency-Key": KEY}
    )
    assert refusal(answer) == (422, "idempotency_key_reused")


def test_a_chunked_file_is_compared_too(caller):
    def ask(data):
        headers, body = {"Idempotency-Key": KEY, "Transfer-Encoding": "chunked"}, {"wsgi.input": io.BytesIO(form(data))}
        return caller.generic("POST", "/v1/objects/belt.png", "", f"multipart/form-data; boundary={BOUNDARY}", headers=headers, **body)

    assert [ask(data).status_code for data in (PICTURE, PICTURE, OTHER)] == [201, 201, 422]
    assert StoredObject.objects.count() == 1


def test_a_refused_upload_leaves_its_key_free(caller, reader, access):
    store_file(access, OTHER, "belt.png")
    assert refusal(send(caller, PICTURE)) == (409, "path_exists")
    assert refusal(send(reader, PICTURE)) == (403, "read_only")
    assert not IdempotencyKey.objects.exists()
    assert send(caller, PICTURE, "other.png").status_code == 201


def test_a_database_that_goes_away_after_the_work_takes_no_reply_from_the_caller(caller, monkeypatch):
    def away(*_, **__):
        raise OperationalError("away")

    monkeypatch.setattr("controlplane.api.idempotency.guard.keep_reply", away)
    assert send(caller, PICTURE).status_code == 201
    assert refusal(send(caller, PICTURE)) == (409, "idempotency_in_progress")
    assert StoredObject.objects.count() == 1


def test_an_upload_that_slept_past_its_lease_is_told_and_its_reply_not_kept(caller, monkeypatch):
    monkeypatch.setattr("controlplane.api.idempotency.guard.keep_reply", lambda *_, **__: False)
    assert send(caller, PICTURE).status_code == 201
    assert StoredObject.objects.count() == 1


def test_two_projects_of_a_person_do_not_share_keys(user, caller):
    other = StorageCaller(user, make_project(user, "dock").pk)
    assert [send(one, PICTURE).status_code for one in (caller, other)] == [201, 201]
    assert StoredObject.objects.count() == 2


def test_a_push_that_is_sent_twice_makes_one_version(api, user, project):
    client, packed = api(user), pack_folder(EXAMPLES / "blur")

    def push(data, kind="application/octet-stream"):
        file = SimpleUploadedFile("archive.zip", data, kind)
        return client.post(f"/v1/projects/{project.pk}/workflows/", {"archive": file}, format="multipart", headers={"Idempotency-Key": KEY})

    versions = WorkflowVersion.objects.filter(workflow__project=project)
    first, second = push(packed), push(packed)
    assert (first.status_code, second.content) == (201, first.content)
    assert refusal(push(pack_folder(EXAMPLES / "edges"))) == (422, "idempotency_key_reused")
    assert versions.count() == 1


def test_a_direct_upload_is_begun_once(caller):
    body = {"path": "film.mp4", "size": 40 * 1024 * 1024, "method": "multipart"}
    answers = [caller.post("/v1/uploads/", body, format="json", headers={"Idempotency-Key": KEY}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert Upload.objects.count() == 1
