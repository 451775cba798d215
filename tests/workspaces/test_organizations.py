"""Organizations and sub-namespaces through the API."""

from __future__ import annotations

import pytest

from controlplane.accounts.models import Revocation
from controlplane.audit.models import AuditEntry
from controlplane.workspaces import services
from controlplane.workspaces.models import Membership, Namespace, Organization
from controlplane.workspaces.roles import Role
from deployments.services import request_deployment
from tests.factories import make_member, make_organization, make_project, make_shared_project, make_workflow

pytestmark = pytest.mark.django_db


@pytest.fixture
def harbour(user):
    return make_organization(user, "harbour")


def url(organization, path=""):
    return f"/v1/organizations/{organization.pk}/{path}"


def root(organization):
    return organization.namespaces.get(parent=None)


def test_who_creates_an_organization_owns_it_and_its_workspace(api, user):
    made = api(user).post("/v1/organizations/", {"name": "harbour", "location": "Marseille", "description": None, "visibility": None})
    assert made.status_code == 201
    assert {name: made.json()[name] for name in ("name", "location", "visibility", "homepage")} == {
        "name": "harbour",
        "location": "Marseille",
        "visibility": "TEAM",
        "homepage": "",
    }
    assert api(user).get("/v1/namespaces/", {"name": "harbour"}).json()["results"][0]["path"] == "harbour"
    [member] = api(user).get(made.json()["url"] + "members/").json()["results"]
    assert (member["username"], member["role"], member["source"]) == (user.username, "OWNER", "harbour")


@pytest.mark.parametrize(
    ("name", "status"), [("Harbour", 409), ("", 400), ("a/b", 400), ("-x", 400), ("hub", 409), ("x" * 61, 400), ("é", 400), ("a\x00b", 400)]
)
def test_a_name_that_is_taken_or_no_path_is_refused(api, user, harbour, name, status):
    before = Organization.objects.count()
    refused = api(user).post("/v1/organizations/", {"name": name})
    assert refused.status_code == status
    assert refused.json()["fields"]["name"]
    assert Organization.objects.count() == before


def test_users_and_organizations_share_their_names(api, user, stranger, harbour):
    assert api(user).post("/v1/organizations/", {"name": stranger.username.upper()}).status_code == 409
    taken = api().post("/v1/accounts/signup/", {"username": "Harbour", "email": "h@example.com", "password": "a long walk by the quay"})
    assert (taken.status_code, taken.json()["code"]) == (409, "username_taken")


def test_a_team_organization_is_seen_by_its_members_and_a_public_one_by_all(api, user, stranger, harbour):
    partner = make_member(harbour, Role.PARTNER)
    assert api(stranger).get(url(harbour)).status_code == 404
    assert api(stranger).get("/v1/organizations/", {"name": "harbour"}).json()["count"] == 0
    assert api(partner).get(url(harbour)).status_code == 200
    assert api(user).put(url(harbour), {"visibility": "PUBLIC"}).status_code == 200
    assert api(stranger).get("/v1/organizations/", {"visibility": "PUBLIC"}).json()["count"] == 1
    assert api(stranger).get(url(harbour, "members/")).status_code == 403


def test_a_profile_is_changed_by_owners_only(api, user, harbour):
    manager = make_member(harbour, Role.MANAGER)
    refused = api(manager).put(url(harbour), {"description": "mine"})
    assert refused.status_code == 403
    assert "OWNER" in refused.json()["detail"]
    harbour.refresh_from_db()
    assert harbour.description == ""
    shown = api(user).put(url(harbour), {**api(user).get(url(harbour)).json(), "homepage": "https://harbour.example.com"}).json()
    assert shown["homepage"] == "https://harbour.example.com"


def test_a_new_name_moves_all_paths_below(api, user, harbour):
    project = make_shared_project(harbour)
    inner = api(user).post(f"/v1/namespaces/{root(harbour).pk}/namespaces/", {"name": "cranes"}).json()
    assert inner["path"] == "harbour/cranes"
    assert api(user).put(url(harbour), {"name": "port"}).json()["name"] == "port"
    assert api(user).get(inner["url"]).json()["path"] == "port/cranes"
    assert api(user).get(f"/v1/projects/{project.pk}/").json()["path"] == "port/quay"


def test_an_organization_is_deleted_when_it_is_empty(api, user, harbour):
    project = make_shared_project(harbour)
    make_member(harbour, Role.MANAGER)
    refused = api(user).delete(url(harbour))
    assert refused.status_code == 409
    assert "project 'harbour/quay'" in refused.json()["detail"]
    assert Organization.objects.filter(pk=harbour.pk).exists()
    assert Membership.objects.filter(organization=harbour).count() == 2
    project.delete()
    assert api(user).delete(url(harbour)).status_code == 204
    assert not Namespace.objects.filter(path="harbour").exists()
    assert not Membership.objects.filter(organization=harbour).exists()


def test_sub_namespaces_inherit_members_and_refuse_deletion_while_full(api, user, harbour):
    member = make_member(harbour, Role.MEMBER)
    inner = api(user).post(f"/v1/namespaces/{root(harbour).pk}/namespaces/", {"name": "cranes", "visibility": None}).json()
    assert inner["visibility"] == "TEAM"
    made = api(user).post(inner["url"] + "projects/", {"name": "arms"}).json()
    assert made["path"] == "harbour/cranes/arms"
    assert api(member).get(made["url"]).status_code == 200
    assert api(member).post(f"/v1/namespaces/{root(harbour).pk}/namespaces/", {"name": "mine"}).status_code == 403
    refused = api(user).delete(inner["url"])
    assert (refused.status_code, "project 'harbour/cranes/arms'" in refused.json()["detail"]) == (409, True)
    assert api(user).delete(made["url"]).status_code == 204
    assert api(user).delete(inner["url"]).status_code == 204


def test_namespaces_go_five_levels_deep(api, user, harbour):
    place = f"/v1/namespaces/{root(harbour).pk}/"
    for level in range(4):
        place = api(user).post(place + "namespaces/", {"name": f"n{level}"}).json()["url"]
    refused = api(user).post(place + "namespaces/", {"name": "n4"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_deep")


def test_roots_are_neither_changed_nor_deleted_by_themselves(api, user, harbour):
    for namespace in (root(harbour), user.namespaces.get()):
        for answer in (
            api(user).delete(f"/v1/namespaces/{namespace.pk}/"),
            api(user).put(f"/v1/namespaces/{namespace.pk}/", {"visibility": "PUBLIC"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "root_namespace")


def test_a_personal_workspace_has_sub_namespaces_and_no_members(api, user, stranger):
    personal = user.namespaces.get()
    inner = api(user).post(f"/v1/namespaces/{personal.pk}/namespaces/", {"name": "drafts"}).json()
    assert (inner["path"], inner["visibility"]) == (f"{user.username}/drafts", "PRIVATE")
    assert api(stranger).get(inner["url"]).status_code == 404
    assert api(user).get(f"/v1/namespaces/{personal.pk}/members/").status_code == 404
    project = make_project(user)
    person = f"http://testserver/v1/users/{stranger.pk}/"
    refused = api(user).post(f"/v1/projects/{project.pk}/members/", {"user": person, "role": "MEMBER"})
    assert (refused.status_code, refused.json()["code"]) == (409, "personal_workspace")
    assert not Membership.objects.exists()


def test_a_project_says_which_workflows_keep_it(api, user, harbour):
    project = make_shared_project(harbour)
    deployed = make_workflow(project, user=user)
    make_workflow(project, "edges", user=user)
    request_deployment(actor=user, workflow_id=deployed.pk, provider="AWS", region="FRANCE", flavour="CLUSTER", size="S")
    refused = api(user).delete(f"/v1/projects/{project.pk}/")
    assert refused.status_code == 409
    assert "blur (deployed on AWS FRANCE CLUSTER S (QUEUED)), edges" in refused.json()["detail"]
    assert refused.json()["fields"] == {"workflows": ["blur", "edges"], "deployments": ["AWS FRANCE CLUSTER S (QUEUED)"]}
    assert project.workflows.count() == 2


def test_what_is_new_in_an_organization_is_the_teams(api, user, harbour):
    made = api(user).post(f"/v1/namespaces/{root(harbour).pk}/projects/", {"name": "quay"}).json()
    assert made["visibility"] == "TEAM"
    assert api(user).post(f"/v1/namespaces/{user.namespaces.get().pk}/projects/", {"name": "mine"}).json()["visibility"] == "PRIVATE"


def test_each_change_is_in_the_audit_log_and_a_refusal_is_not(api, user, harbour):
    manager = make_member(harbour, Role.MANAGER)
    api(manager).put(url(harbour), {"location": "Brest"})
    api(user).put(url(harbour), {"location": "Brest"})
    lines = AuditEntry.objects.filter(chain=harbour.pk).order_by("sequence")
    assert [(line.action, line.actor_name) for line in lines] == [
        ("organization.create", user.username),
        ("organization.edit", user.username),
    ]
    assert lines[1].details == {"changed": {"location": ["", "Brest"]}}
    assert lines[1].credential.startswith("test (slw_")


def test_the_role_table_is_shown(api, user):
    rows = api(user).get("/v1/roles/").json()
    assert [row["roles"] for row in rows if row["title"] == "Manage members"] == [
        {"PARTNER": False, "MEMBER": False, "MANAGER": False, "OWNER": True}
    ]


def test_namespaces_and_owned_organizations_are_limited(api, user, harbour, monkeypatch):
    """What people see is found through them at every request, and nobody is asked before becoming a member."""
    monkeypatch.setattr(services, "MOST_NAMESPACES", 2)
    monkeypatch.setattr(services, "MOST_ORGANIZATIONS", 1)
    place = f"/v1/namespaces/{root(harbour).pk}/namespaces/"
    assert api(user).post(place, {"name": "first"}).status_code == 201
    refused = api(user).post(place, {"name": "second"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_namespaces")
    refused = api(user).post("/v1/organizations/", {"name": "port"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_organizations")
    assert not Organization.objects.filter(name="port").exists()


def test_only_what_becomes_private_takes_tokens_back_and_only_there(api, user, harbour):
    member = make_member(harbour, Role.MEMBER)
    make_member(harbour, Role.MANAGER)
    project, _ = make_shared_project(harbour), make_shared_project(harbour, "dock", visibility="PRIVATE")
    for visibility in ("PUBLIC", "TEAM"):
        api(user).put(f"/v1/projects/{project.pk}/", {"visibility": visibility})
    assert not Revocation.objects.exists()
    api(user).put(f"/v1/projects/{project.pk}/", {"visibility": "PRIVATE"})
    assert [row.subject for row in Revocation.objects.all()] == [f"u/{member.pk}/p/{project.pk}"]


def test_long_texts_are_not_kept_in_the_audit_log(api, user, harbour):
    project = make_shared_project(harbour)
    api(user).put(f"/v1/projects/{project.pk}/", {"description": "x" * 5000, "name": "pier"})
    line = AuditEntry.objects.get(action="project.edit")
    assert line.details == {"changed": {"description": "changed", "name": ["quay", "pier"]}}


def test_nothing_is_noted_when_nothing_changes(api, user, harbour):
    api(user).put(url(harbour), api(user).get(url(harbour)).json())
    assert not AuditEntry.objects.filter(action="organization.edit").exists()
