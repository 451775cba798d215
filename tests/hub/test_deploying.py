"""Deploy from the public HUB into a project."""

from __future__ import annotations

import io
import zipfile

import pytest

from controlplane.common.objectstore import object_store
from controlplane.hub.publishing import publish_algorithm
from controlplane.projects.models import Workflow
from controlplane.workspaces.roles import Role
from tests.factories import make_member, make_organization, make_project, make_shared_project
from tests.hub.algorithms import NAME, make_algorithm, make_demo, make_package, make_published, pushed_to, source_of

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
