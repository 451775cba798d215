"""Pushing workflows through the API, onto the real object store."""

from __future__ import annotations

import io
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from controlplane.common.objectstore import object_store
from controlplane.projects.archive import pack_folder
from controlplane.projects.examples_catalogue import EXAMPLES
from controlplane.projects.models import Workflow, WorkflowVersion
from tests.factories import make_project, make_workflow

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def bucket():
    object_store().ensure_bucket()


def push(client, project, content):
    file = SimpleUploadedFile("w.zip", content, content_type="application/octet-stream")
    return client.post(f"/v1/projects/{project.pk}/workflows/", {"archive": file}, format="multipart")


def zipped(document):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("workflow.json", document if isinstance(document, str) else json.dumps(document))
    return stream.getvalue()


def stored_keys(project):
    listing = object_store().client.list_objects_v2(Bucket=object_store().bucket, Prefix=f"archives/{project.pk}/")
    return [row["Key"] for row in listing.get("Contents", [])]


def test_a_push_is_stored_and_readable_again(api, user):
    project = make_project(user)
    archive = pack_folder(EXAMPLES / "blur")
    answer = push(api(user), project, archive)
    assert answer.status_code == 201, answer.json()
    row = answer.json()
    assert (row["name"], row["tag"]) == ("blur", "v1")
    assert row["data"]["tasks"]
    assert b"".join(api(user).get(row["url"] + "versions/1/archive/").streaming_content) == archive


def test_pushing_the_name_again_makes_a_new_tag_and_keeps_the_old_one(api, user):
    project = make_project(user)
    archive = pack_folder(EXAMPLES / "blur")
    assert [push(api(user), project, archive).json()["tag"] for _ in range(3)] == ["v1", "v2", "v3"]
    workflow = Workflow.objects.get(project=project)
    versions = api(user).get(f"/v1/workflows/{workflow.pk}/versions/").json()["results"]
    assert [row["tag"] for row in versions] == ["v3", "v2", "v1"]
    assert len(stored_keys(project)) == 3


def test_a_plugin_workflow_lists_its_plugins(api, user):
    project = make_project(user)
    row = push(api(user), project, pack_folder(EXAMPLES / "detect_objects")).json()
    assert WorkflowVersion.objects.get(workflow__project=project).plugins
    assert row["tag"] == "v1"


@pytest.mark.parametrize("content", [b"", b"not a zip", zipped("{"), zipped({"tasks": "x"}), zipped([])])
def test_a_refused_archive_leaves_nothing_behind(api, user, content):
    project = make_project(user)
    answer = push(api(user), project, content)
    assert answer.status_code == 400
    assert answer.json()["detail"]
    assert not Workflow.objects.filter(project=project).exists()
    assert stored_keys(project) == []


def test_an_archive_is_asked_for(api, user):
    project = make_project(user)
    answer = api(user).post(f"/v1/projects/{project.pk}/workflows/", {}, format="multipart")
    assert answer.status_code == 400
    assert "archive" in answer.json()["fields"]


def test_an_archive_over_the_limit_is_refused_before_it_is_read(api, user, settings):
    settings.PUSH_MAX_BYTES = 100
    project = make_project(user)
    answer = push(api(user), project, pack_folder(EXAMPLES / "blur"))
    assert (answer.status_code, answer.json()["code"]) == (413, "archive_too_large")
    assert stored_keys(project) == []


def test_a_stranger_pushes_nothing(api, user, stranger):
    hidden, shown = make_project(user), make_project(user, "shown", visibility="PUBLIC")
    archive = pack_folder(EXAMPLES / "blur")
    assert push(api(stranger), hidden, archive).status_code == 404
    assert push(api(stranger), shown, archive).status_code == 403
    assert not Workflow.objects.filter(project__in=[hidden, shown]).exists()
    assert stored_keys(hidden) == stored_keys(shown) == []


def test_a_deleted_workflow_is_gone_with_its_archives(api, user):
    project = make_project(user)
    row = push(api(user), project, pack_folder(EXAMPLES / "blur")).json()
    assert api(user).delete(row["url"]).status_code == 204
    assert api(user).get(row["url"]).status_code == 404
    assert stored_keys(project) == []


def test_deleting_an_example_keeps_the_shared_archive(api, user, stranger):
    from controlplane.projects.examples_catalogue import store_examples

    keys = store_examples(object_store())
    workflow = Workflow.objects.get(project__namespace__owner=user, name="blur")
    assert api(user).delete(f"/v1/workflows/{workflow.pk}/").status_code == 204
    assert all(object_store().exists(key) for key in keys)


def test_a_stranger_neither_reads_nor_deletes_a_private_workflow(api, user, stranger):
    workflow = make_workflow(make_project(user))
    for path in ("", "versions/", "versions/1/archive/"):
        assert api(stranger).get(f"/v1/workflows/{workflow.pk}/{path}").status_code == 404
    assert api(stranger).delete(f"/v1/workflows/{workflow.pk}/").status_code == 404
    assert Workflow.objects.filter(pk=workflow.pk).exists()


@pytest.mark.django_db(transaction=True)
def test_pushes_at_the_same_moment_get_different_tags(api, user):
    project = make_project(user)
    archive = pack_folder(EXAMPLES / "blur")
    clients = [api(user) for _ in range(6)]

    def push_once(client):
        try:
            return push(client, project, archive).json()["tag"]
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        tags = list(pool.map(push_once, clients))
    assert sorted(tags) == ["v1", "v2", "v3", "v4", "v5", "v6"]
    current = Workflow.objects.get(project=project).current
    assert current is not None
    assert current.tag == "v6"
