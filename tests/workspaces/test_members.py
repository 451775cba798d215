"""Roles on organizations, raised on single things, and leaving."""

from __future__ import annotations

import pytest

from controlplane.workspaces.models import Membership
from controlplane.workspaces.roles import Role
from tests.factories import make_member, make_organization, make_shared_project, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def harbour(user):
    return make_organization(user, "harbour")


@pytest.fixture
def quay(harbour):
    return make_shared_project(harbour)


def url(target):
    kind = {"Organization": "organizations", "Project": "projects", "Namespace": "namespaces"}[type(target).__name__]
    return f"/v1/{kind}/{target.pk}/members/"


def person(user):
    return f"http://testserver/v1/users/{user.pk}/"


def roles(api, caller, target):
    return {row["username"]: (row["role"], row["source"]) for row in api(caller).get(url(target)).json()["results"]}


def snapshot():
    return set(Membership.objects.values_list("user", "target", "role"))


def test_a_member_is_added_by_their_address_and_sees_the_projects(api, user, stranger, harbour, quay):
    assert api(stranger).get(f"/v1/projects/{quay.pk}/").status_code == 404
    added = api(user).post(url(harbour), {"user": person(stranger), "role": "MEMBER"})
    assert added.status_code == 201
    assert (added.json()["username"], added.json()["role"], added.json()["source"]) == (stranger.username, "MEMBER", "harbour")
    assert api(stranger).get(f"/v1/projects/{quay.pk}/").status_code == 200
    assert roles(api, stranger, quay) == {user.username: ("OWNER", "harbour"), stranger.username: ("MEMBER", "harbour")}


def test_adding_again_changes_the_role(api, user, stranger, harbour):
    assert api(user).post(url(harbour), {"user": person(stranger), "role": "MEMBER"}).status_code == 201
    assert api(user).post(url(harbour), {"user": person(stranger), "role": "MANAGER"}).status_code == 200
    member = api(user).get(url(harbour), {"username": stranger.username}).json()["results"][0]
    assert api(user).put(member["url"], {"role": "PARTNER"}).json()["role"] == "PARTNER"
    assert api(user).get(member["url"]).json()["role"] == "PARTNER"
    assert api(user).get(url(harbour), {"role": "PARTNER"}).json()["count"] == 1


@pytest.mark.parametrize(
    "given",
    [{}, {"role": "MEMBER"}, {"user": "x", "role": "MEMBER"}, {"user": 7, "role": "MEMBER"}, {"user": "/v1/users/", "role": "MEMBER"}],
)
def test_nonsense_is_refused_field_by_field(api, user, harbour, given):
    before = snapshot()
    refused = api(user).post(url(harbour), given)
    assert refused.status_code == 400
    assert refused.json()["fields"]
    assert snapshot() == before


def test_a_user_that_there_is_not_cannot_be_added(api, user, harbour):
    nobody = "http://testserver/v1/users/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11/"
    assert api(user).post(url(harbour), {"user": nobody, "role": "MEMBER"}).status_code == 404


def test_a_partner_raised_on_one_project_sees_that_project_alone(api, user, harbour, quay):
    other = make_shared_project(harbour, "dock")
    partner = make_member(harbour, Role.PARTNER)
    assert api(partner).get("/v1/projects/", {"namespace": "harbour"}).json()["count"] == 0
    raised = api(user).post(url(quay), {"user": person(partner), "role": "MANAGER"})
    assert (raised.status_code, raised.json()["role"], raised.json()["source"]) == (200, "MANAGER", "harbour/quay")
    assert [row["path"] for row in api(partner).get("/v1/projects/", {"namespace": "harbour"}).json()["results"]] == ["harbour/quay"]
    assert api(partner).get(f"/v1/projects/{other.pk}/").status_code == 404
    assert api(partner).put(f"/v1/projects/{quay.pk}/", {"description": "x"}).status_code == 200
    assert api(partner).get("/v1/namespaces/", {"name": "harbour"}).json()["count"] == 0


def test_a_role_on_a_project_is_raised_and_never_lowered(api, user, harbour, quay):
    manager = make_member(harbour, Role.MANAGER)
    before = snapshot()
    refused = api(user).post(url(quay), {"user": person(manager), "role": "MEMBER"})
    assert (refused.status_code, refused.json()["code"]) == (409, "role_inherited")
    assert "'harbour'" in refused.json()["detail"]
    assert snapshot() == before
    api(user).post(url(quay), {"user": person(manager), "role": "OWNER"})
    assert roles(api, user, quay)[manager.username] == ("OWNER", "harbour/quay")
    api(user).post(url(quay), {"user": person(manager), "role": "MANAGER"})
    assert roles(api, user, quay)[manager.username] == ("MANAGER", "harbour")
    assert snapshot() == before


def test_an_owner_of_one_project_brings_nobody_new_into_the_organization(api, user, stranger, harbour, quay):
    chief = make_member(harbour, Role.PARTNER)
    api(user).post(url(quay), {"user": person(chief), "role": "OWNER"})
    before = snapshot()
    refused = api(chief).post(url(quay), {"user": person(stranger), "role": "MEMBER"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_in_organization")
    assert snapshot() == before
    assert api(user).post(url(quay), {"user": person(stranger), "role": "MEMBER"}).status_code == 201
    assert roles(api, user, harbour)[stranger.username] == ("PARTNER", "harbour")
    assert api(chief).post(url(quay), {"user": person(stranger), "role": "MANAGER"}).status_code == 200


def test_only_owners_manage_members(api, user, stranger, harbour, quay):
    for role in (Role.PARTNER, Role.MEMBER, Role.MANAGER):
        caller = make_member(harbour, role)
        before = snapshot()
        for target in (harbour, quay):
            answer = api(caller).post(url(target), {"user": person(stranger), "role": "PARTNER"})
            assert answer.status_code == (404 if target is quay and role is Role.PARTNER else 403)
            assert api(caller).delete(f"{url(target)}{user.pk}/").status_code in (403, 404)
        assert snapshot() == before


def test_the_last_owner_stays(api, user, harbour):
    other = make_member(harbour, Role.MANAGER)
    own = f"{url(harbour)}{user.pk}/"
    for refused in (api(user).delete(own), api(user).put(own, {"role": "MANAGER"})):
        assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")
    assert roles(api, user, harbour)[user.username] == ("OWNER", "harbour")
    api(user).post(url(harbour), {"user": person(other), "role": "OWNER"})
    assert api(user).put(own, {"role": "MEMBER"}).status_code == 200
    assert api(other).delete(own).status_code == 204
    assert api(user).get(f"/v1/organizations/{harbour.pk}/").status_code == 404


def test_who_leaves_takes_every_raised_role_along(api, user, harbour, quay):
    partner = make_member(harbour, Role.PARTNER)
    api(user).post(url(quay), {"user": person(partner), "role": "OWNER"})
    assert api(partner).delete(f"{url(harbour)}{partner.pk}/").status_code == 204
    assert not Membership.objects.filter(user=partner).exists()
    assert api(partner).get(f"/v1/projects/{quay.pk}/").status_code == 404


def test_an_inherited_role_is_not_taken_away_on_a_project(api, user, harbour, quay):
    member = make_member(harbour, Role.MEMBER)
    before = snapshot()
    refused = api(user).delete(f"{url(quay)}{member.pk}/")
    assert (refused.status_code, refused.json()["code"]) == (409, "role_inherited")
    assert snapshot() == before
    assert api(user).delete(f"{url(quay)}{make_user().pk}/").status_code == 404


def test_members_of_the_workspace_are_those_of_the_organization(api, user, stranger, harbour):
    root = harbour.namespaces.get()
    assert api(user).post(url(root), {"user": person(stranger), "role": "MEMBER"}).status_code == 201
    assert roles(api, user, harbour)[stranger.username] == ("MEMBER", "harbour")
    assert api(user).delete(f"{url(root)}{stranger.pk}/").status_code == 204
    assert stranger.username not in roles(api, user, root)


def test_a_private_project_is_for_managers_and_who_is_raised_on_it(api, user, harbour, quay):
    member, manager, raised = (make_member(harbour, role) for role in (Role.MEMBER, Role.MANAGER, Role.MEMBER))
    api(user).post(url(quay), {"user": person(raised), "role": "MANAGER"})
    api(user).put(f"/v1/projects/{quay.pk}/", {"visibility": "PRIVATE"})
    seen = {who.username: api(who).get(f"/v1/projects/{quay.pk}/").status_code for who in (member, manager, raised)}
    assert seen == {member.username: 404, manager.username: 200, raised.username: 200}
    assert roles(api, user, quay)[member.username] == ("PARTNER", "harbour")
    api(user).put(f"/v1/projects/{quay.pk}/", {"visibility": "PUBLIC"})
    assert api(member).get(f"/v1/projects/{quay.pk}/").status_code == 200
    assert api(make_user()).get(f"/v1/projects/{quay.pk}/").status_code == 200
    assert api(make_user()).get(f"/v1/projects/{quay.pk}/jwt/").status_code == 403


def test_a_private_sub_namespace_hides_all_that_is_in_it(api, user, harbour):
    member = make_member(harbour, Role.MEMBER)
    inner = api(user).post(f"/v1/namespaces/{harbour.namespaces.get().pk}/namespaces/", {"name": "secret", "visibility": "PRIVATE"}).json()
    project = api(user).post(inner["url"] + "projects/", {"name": "plans"}).json()
    assert project["visibility"] == "TEAM"
    assert [api(member).get(at["url"]).status_code for at in (inner, project)] == [404, 404]
    assert api(user).post(inner["url"] + "members/", {"user": person(member), "role": "MEMBER"}).json()["source"] == "harbour/secret"
    assert [api(member).get(at["url"]).status_code for at in (inner, project)] == [200, 200]


def test_deleting_a_project_forgets_the_roles_on_it(api, user, harbour, quay):
    partner = make_member(harbour, Role.PARTNER)
    api(user).post(url(quay), {"user": person(partner), "role": "MEMBER"})
    api(user).delete(f"/v1/projects/{quay.pk}/")
    assert not Membership.objects.filter(target=quay.pk).exists()
