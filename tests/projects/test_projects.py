"""Projects through the API."""

from __future__ import annotations

import pytest

from controlplane.projects.models import Project
from tests.factories import make_project, make_workflow

pytestmark = pytest.mark.django_db


def url(project):
    return f"/v1/projects/{project.pk}/"


def projects_of(user):
    return f"/v1/namespaces/{user.namespaces.get().pk}/projects/"


def test_an_owner_creates_a_project(api, user):
    answer = api(user).post(projects_of(user), {"name": "quay", "description": "Hulls", "visibility": "PRIVATE"})
    assert answer.status_code == 201, answer.json()
    assert answer.json()["path"] == f"{user.username}/quay"
    assert api(user).get(answer.json()["url"]).json()["name"] == "quay"


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", "-x", "x" * 101, "nul\x00", "néon"])
def test_a_name_that_cannot_be_a_path_is_refused(api, user, name):
    before = Project.objects.count()
    assert api(user).post(projects_of(user), {"name": name}).status_code == 400
    assert Project.objects.count() == before


def test_a_name_is_taken_once(api, user):
    make_project(user, "quay")
    answer = api(user).post(projects_of(user), {"name": "quay"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert Project.objects.filter(name="quay").count() == 1


def test_lists_filter_by_exact_name_and_parent(api, user, stranger):
    make_project(user, "quay")
    make_project(stranger, "quay", visibility="PUBLIC")
    both = api(user).get("/v1/projects/", {"name": "quay"}).json()
    assert both["count"] == 2
    mine = api(user).get("/v1/projects/", {"name": "quay", "namespace": user.username}).json()
    assert [row["namespace"] for row in mine["results"]] == [user.username]
    assert api(user).get("/v1/projects/", {"name": "qua"}).json()["count"] == 0


def test_lists_come_in_pages_with_absolute_links(api, user):
    for number in range(25):
        make_project(user, f"p{number}")
    first = api(user).get("/v1/projects/").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (26, 20, None)
    assert first["next"].startswith("http://testserver/v1/projects/")
    assert len(api(user).get(first["next"]).json()["results"]) == 6
    assert api(user).get("/v1/projects/?page_size=0").json() == {"count": 26, "next": None, "previous": None, "results": []}
    assert api(user).get("/v1/projects/?page=99").status_code == 400


def test_a_whole_object_may_come_back(api, user):
    project = make_project(user)
    row = api(user).get(url(project)).json()
    answer = api(user).put(url(project), {**row, "description": "New words"})
    assert answer.status_code == 200, answer.json()
    project.refresh_from_db()
    assert (project.description, project.name) == ("New words", "quay")


def test_a_private_project_does_not_exist_for_a_stranger(api, user, stranger):
    project = make_project(user)
    client = api(stranger)
    assert client.get(url(project)).status_code == 404
    assert client.put(url(project), {"name": "mine"}).status_code == 404
    assert client.delete(url(project)).status_code == 404
    assert client.get(url(project) + "jwt/").status_code == 404
    assert client.post(projects_of(user), {"name": "x"}).status_code == 404
    project.refresh_from_db()
    assert project.name == "quay"


def test_a_public_project_is_read_but_not_changed_by_a_stranger(api, user, stranger):
    project = make_project(user, visibility="PUBLIC")
    client = api(stranger)
    assert client.get(url(project)).status_code == 200
    for refused in (client.put(url(project), {"name": "mine"}), client.delete(url(project)), client.get(url(project) + "jwt/")):
        assert refused.status_code == 403
        assert "OWNER" in refused.json()["detail"]
    project.refresh_from_db()
    assert project.name == "quay"


def test_a_project_with_workflows_is_not_deleted(api, user):
    project = make_project(user)
    make_workflow(project)
    answer = api(user).delete(url(project))
    assert answer.status_code == 409
    assert "blur" in answer.json()["detail"]
    assert Project.objects.filter(pk=project.pk).exists()


def test_an_empty_project_is_deleted(api, user):
    project = make_project(user)
    assert api(user).delete(url(project)).status_code == 204
    assert not Project.objects.filter(pk=project.pk).exists()


def test_the_owner_is_a_member_with_the_source_of_the_role(api, user):
    project = make_project(user)
    rows = api(user).get(url(project) + "members/").json()["results"]
    assert [(row["username"], row["role"], row["source"]) for row in rows] == [(user.username, "OWNER", user.username)]
    assert api(user).get(url(project) + "members/?role=PARTNER").json()["count"] == 0


def test_a_project_token_names_its_project(api, user):
    project = make_project(user)
    answer = api(user).get(url(project) + "jwt/", {"endpoint": "", "storage": "True"})
    assert answer.status_code == 200, answer.json()
    assert answer.json()["token_type"] == "Bearer"
    assert 3590 <= answer.json()["expires_in"] <= 3600, "as long as the API token that asked for it"
    assert answer["Cache-Control"] == "no-store"
