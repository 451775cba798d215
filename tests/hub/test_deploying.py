"""Deploy from the public HUB into a project."""

from __future__ import annotations

import io
import itertools
import zipfile
from importlib import import_module
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from controlplane.common.objectstore import object_store
from controlplane.hub import platforms
from controlplane.hub.models import HubPackage
from controlplane.hub.platforms import Platform
from controlplane.hub.publishing import publish_algorithm
from controlplane.projects.models import Workflow
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import allow_publishing
from tests.factories import make_member, make_organization, make_project, make_shared_project
from tests.hub.algorithms import NAME, make_algorithm, make_demo, make_package, make_published, newest_of, pushed_to, source_of

pytestmark = pytest.mark.django_db


def deploy(client, hub, project):
    return client.post(f"/v1/hub/{hub.pk}/deploy/", {"project": f"http://testserver/v1/projects/{project.pk}/"})


@pytest.fixture
def hub(stranger):
    """A published algorithm with a demo workflow."""
    return make_published(stranger, with_demo=True)


def test_the_demo_comes_with_the_published_package_and_its_data(api, user, stranger, hub):
    make_package(stranger, source_of(hub), body="published")
    publish_algorithm(actor=stranger, algorithm_id=source_of(hub).pk, license="MIT", version="1.1.0")
    project = make_project(user)
    answer = deploy(api(user), hub, project)
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["name"], answer.json()["tag"]) == (f"{NAME} demo", "v1")
    version = pushed_to(Workflow.objects.get(project=project))
    assert (version.plugins, version.created_by) == ([NAME], user)
    with zipfile.ZipFile(io.BytesIO(object_store().get_bytes(version.archive_key))) as archive:
        assert archive.read(f"{NAME}/{NAME}.py") == b"published"
        assert set(archive.namelist()) == {
            "workflow.json",
            f"{NAME}/{NAME}.py",
            f"{NAME}/{NAME}_process.py",
            f"{NAME}/data/labels.txt",
        }
    assert deploy(api(user), hub, project).json()["tag"] == "v2"


def test_an_older_publication_goes_on_when_the_algorithm_is_gone(api, user, stranger, hub):
    source_of(hub).delete()
    assert deploy(api(user), hub, make_project(user)).status_code == 201


@pytest.mark.parametrize(("role", "status"), [(Role.PARTNER, 404), (Role.MEMBER, 403), (Role.MANAGER, 201)])
def test_deploying_takes_the_role_that_pushing_takes(api, user, hub, role, status):
    organization = make_organization(user)
    project = make_shared_project(organization)
    assert deploy(api(make_member(organization, role)), hub, project).status_code == status
    assert Workflow.objects.filter(project=project).exists() == (status == 201)


def test_nobody_deploys_without_a_token_or_to_a_project_that_they_do_not_see(api, user, stranger, hub):
    project = make_project(user)
    assert deploy(api(), hub, project).status_code == 401
    assert deploy(api(stranger), hub, project).status_code == 404
    assert not Workflow.objects.filter(project=project).exists()


@pytest.mark.parametrize(
    "body", [{}, {"project": 7}, {"project": "quay"}, {"project": "http://[::1"}, {"project": "http://x/v1/users/me/"}]
)
def test_a_project_is_named_by_its_address(api, user, hub, body):
    answer = api(user).post(f"/v1/hub/{hub.pk}/deploy/", body)
    assert answer.status_code == 400
    assert "project" in answer.json()["fields"]


@pytest.fixture
def many(stranger, monkeypatch):
    """A published algorithm with a demo workflow and packages that are told apart by their content; their ids go down, as they may by chance."""
    algorithm = make_algorithm(stranger)
    for body, platform in (
        ("old", {"architecture": []}),
        ("other machine", {"architecture": ["AARCH64"]}),
        ("good", {"python_min_version": "3.11"}),
        ("newer engine", {"ikomia_min_version": "0.17.0"}),
        ("newer python", {"python_min_version": "3.12"}),
        ("other system", {"os": ["WINDOWS"]}),
    ):
        make_package(stranger, algorithm, body=body, **platform)
    make_demo(stranger, algorithm)
    allow_publishing(path=stranger.username, allowed=True)
    ids = (UUID(int=number) for number in itertools.count(1_000, -1))
    monkeypatch.setattr(HubPackage._meta.get_field("id"), "_get_default", lambda: next(ids))
    return publish_algorithm(actor=stranger, algorithm_id=algorithm.pk, license="MIT", version="1.0.0")


@pytest.mark.parametrize(
    ("runtime", "body"),
    [
        (Platform("LINUX", "X86_64", "3.11.9", "0.16.1"), b"good"),
        (Platform("LINUX", "X86_64", "3.10.4", "0.16.1"), b"old"),
        (Platform("LINUX", "AARCH64", "3.10.4", "0.16.1"), b"other machine"),
        (Platform("LINUX", "X86_64", "3.11.9", "0.17.2"), b"newer engine"),
        (None, b"newer python"),
    ],
)
def test_the_newest_package_that_runtimes_load_is_taken(api, user, many, monkeypatch, runtime, body):
    monkeypatch.setattr(platforms, "_runtimes", [lambda: None, lambda: runtime])
    project = make_project(user)
    assert deploy(api(user), many, project).status_code == 201
    version = pushed_to(Workflow.objects.get(project=project))
    with zipfile.ZipFile(io.BytesIO(object_store().get_bytes(version.archive_key))) as archive:
        assert archive.read(f"{NAME}/{NAME}.py") == body


def test_packages_of_a_version_are_listed_the_newest_upload_first(api, many):
    for rows in (api().get(f"/v1/hub/{many.pk}/").json()["packages"], api().get(f"/v1/hub/{many.pk}/packages/").json()["results"]):
        assert [row["os"] for row in rows] == [["WINDOWS"]] + [["LINUX"]] * 5
        assert [row["ikomia_min_version"] for row in rows][:3] == ["0.16.1", "0.16.1", "0.17.0"]


def test_a_package_for_other_runtimes_is_not_deployed_and_it_is_told_what_they_are(api, user, many, monkeypatch):
    monkeypatch.setattr(platforms, "_runtimes", [lambda: Platform("LINUX", "X86_64", "3.9.1", "0.16.1")])
    answer = deploy(api(user), many, make_project(user))
    assert (answer.status_code, answer.json()["code"]) == (409, "no_package")
    assert "LINUX X86_64, Python 3.9.1, engine 0.16.1" in answer.json()["detail"]


def test_packages_that_were_published_before_get_the_numbers_of_their_uploads(stranger, many):
    other = make_published(stranger, "elsewhere")
    source_of(other).delete()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE hub_hubpackage DISABLE TRIGGER hub_package_frozen")
        HubPackage.objects.update(number=0)
        cursor.execute(import_module("controlplane.hub.migrations.0002_package_numbers").FILL)
    assert list(newest_of(many).packages.order_by("-id").values_list("number", flat=True)) == [1, 2, 3, 4, 5, 6]
    assert newest_of(other).packages.get().number == 1
    with pytest.raises(IntegrityError, match="immutable"), transaction.atomic():
        HubPackage.objects.update(number=0)


def test_without_a_demo_or_a_package_for_linux_nothing_is_deployed(api, user, stranger):
    project = make_project(user)
    bare = make_published(stranger, "bare")
    algorithm = make_algorithm(stranger, "elsewhere")
    make_package(stranger, algorithm, os=["WINDOWS"])
    make_demo(stranger, algorithm)
    windows = publish_algorithm(actor=stranger, algorithm_id=algorithm.pk, license="MIT", version="1.0.0")
    codes = [(answer.status_code, answer.json()["code"]) for answer in (deploy(api(user), hub, project) for hub in (bare, windows))]
    assert codes == [(409, "no_demo"), (409, "no_package")]
    assert not Workflow.objects.filter(project=project).exists()
