"""Tokens that may do less than their person, and who may make them."""

from __future__ import annotations

import base64
from datetime import timedelta

import jwt
import pytest

from controlplane.accounts.models import ApiToken, Revocation, User
from controlplane.accounts.services import create_token, revoke_token
from controlplane.audit.models import AuditEntry
from controlplane.common.errors import NotAuthenticated
from controlplane.workspaces.members import remove_member
from controlplane.workspaces.roles import Role
from tests.factories import PASSWORD, make_member, make_organization, make_project, make_shared_project, make_user

pytestmark = pytest.mark.django_db
TOKENS = "/v1/users/me/tokens/"


@pytest.fixture
def by_password(api, user):
    client = api()
    client.credentials(HTTP_AUTHORIZATION="Basic " + base64.b64encode(f"{user.username}:{PASSWORD}".encode()).decode())
    return client


@pytest.fixture
def narrowed(api, by_password):
    def make(**fields):
        made = by_password.post(TOKENS, {"name": "narrow", "ttl": 60, **fields})
        assert made.status_code == 201, made.json()
        client = api()
        client.credentials(HTTP_AUTHORIZATION=f"Token {made.json()['clear_token']}")
        client.row = made.json()
        return client

    return make


def test_a_token_shows_what_it_may(narrowed, api, user):
    row = narrowed(scopes=["consume", "read"]).row
    assert (row["scopes"], row["project"]) == (["consume", "read"], None)
    assert [one["scopes"] for one in api(user).get(TOKENS).json()["results"]] == [None, ["consume", "read"]]


@pytest.mark.parametrize("scopes", [[], ["everything"], "read", [None], [["read"]]])
def test_scopes_that_there_are_not_are_refused(by_password, scopes):
    refused = by_password.post(TOKENS, {"name": "narrow", "ttl": 60, "scopes": scopes})
    assert refused.status_code == 400
    assert not ApiToken.objects.exists()


def test_a_refusal_names_the_scopes(narrowed, user):
    refused = narrowed(scopes=["consume"]).get("/v1/projects/")
    assert (refused.status_code, refused.json()["code"]) == (403, "wrong_scope")
    assert "consume" in refused.json()["detail"]
    assert "'read'" in refused.json()["detail"]


def test_an_endpoint_token_opens_the_storage_only_with_that_scope(narrowed, user):
    path = f"/v1/projects/{make_project(user).pk}/jwt/"
    assert narrowed(scopes=["consume"]).get(path, {"storage": "true"}).status_code == 403
    for scopes, storage, expected in ((["consume"], "false", "consume"), (["storage"], "true", "consume storage")):
        token = narrowed(scopes=scopes).get(path, {"storage": storage}).json()["id_token"]
        assert jwt.decode(token, options={"verify_signature": False})["scope"] == expected


def test_a_bound_token_sees_its_project_alone(narrowed, api, user):
    project, other = make_project(user), make_project(user, "dock", visibility="PUBLIC")
    bound = narrowed(project=str(project.pk))
    assert [row["path"] for row in bound.get("/v1/projects/").json()["results"]] == [project.path]
    assert bound.put(f"/v1/projects/{project.pk}/", {"description": "x"}).status_code == 200
    assert [bound.get(f"/v1/projects/{one.pk}/").status_code for one in (project, other)] == [200, 404]
    assert [row["path"] for row in bound.get("/v1/namespaces/").json()["results"]] == [user.username]
    refused = bound.post(f"/v1/namespaces/{user.namespaces.get().pk}/projects/", {"name": "new"})
    assert (refused.status_code, refused.json()["code"]) == (403, "token_bound")
    assert bound.post("/v1/organizations/", {"name": "port"}).status_code == 403
    assert bound.get("/v1/audit/").json()["count"] == 0


def test_a_token_is_bound_only_to_a_project_that_one_sees(by_password, stranger):
    refused = by_password.post(TOKENS, {"name": "x", "ttl": 60, "project": str(make_project(stranger).pk)})
    assert refused.status_code == 404
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("own", "asked", "status"),
    [
        ({"scopes": ["admin"]}, {}, 403),
        ({"scopes": ["admin"]}, {"scopes": ["consume"]}, 403),
        ({"scopes": ["admin"]}, {"scopes": ["read"]}, 201),
        ({"scopes": ["admin", "consume"]}, {"scopes": ["consume"]}, 201),
        ({"scopes": ["read"]}, {"scopes": ["read"]}, 403),
        ({"project": True}, {}, 403),
        ({"project": True}, {"project": "other"}, 403),
        ({"project": True}, {"project": True, "scopes": ["read"]}, 201),
    ],
)
def test_a_narrow_token_makes_no_wider_one(narrowed, user, own, asked, status):
    project, other = make_project(user), make_project(user, "dock")
    places = {True: str(project.pk), "other": str(other.pk)}
    client = narrowed(**{name: places.get(value, value) if name == "project" else value for name, value in own.items()})
    before = ApiToken.objects.count()
    body = {name: places.get(value, value) if name == "project" else value for name, value in asked.items()}
    answer = client.post(TOKENS, {"name": "x", "ttl": 60, **body})
    assert answer.status_code == status
    assert ApiToken.objects.count() == before + (status == 201)


def test_a_revoked_token_takes_its_endpoint_tokens_along(narrowed, api, user, django_capture_on_commit_callbacks):
    client = narrowed(scopes=["consume", "admin"])
    got = client.get(f"/v1/projects/{make_project(user).pk}/jwt/").json()["id_token"]
    token = jwt.decode(got, options={"verify_signature": False})["tok"]
    assert client.row["url"].endswith(f"{token}/")
    assert api(user).delete(client.row["url"]).status_code == 204
    assert client.get("/v1/users/me/").status_code == 401
    assert Revocation.objects.filter(subject=f"t/{token}").exists()
    assert api(make_user()).delete(client.row["url"]).status_code == 404


def test_a_token_makes_none_that_outlives_it(narrowed, user):
    parent = narrowed(scopes=["admin"])
    made = parent.post(TOKENS, {"name": "x", "ttl": 10 * 365 * 24 * 3600, "scopes": ["read"]})
    assert made.status_code == 201
    assert made.json()["expires_at"] == parent.row["expires_at"]
    short = parent.post(TOKENS, {"name": "x", "ttl": 5, "scopes": ["read"]}).json()
    assert short["expires_at"] < parent.row["expires_at"]
    [line, _] = AuditEntry.objects.filter(action="token.create", details__made_by__isnull=False).exclude(details__made_by=None)
    assert line.details["seconds"] <= 60


def test_the_seconds_of_an_endpoint_token_are_told_as_they_are(narrowed, user):
    got = narrowed(scopes=["consume"], ttl=900).get(f"/v1/projects/{make_project(user).pk}/jwt/").json()
    told = jwt.decode(got["id_token"], options={"verify_signature": False})
    assert 890 <= got["expires_in"] <= 900
    assert abs(told["exp"] - told["iat"] - got["expires_in"]) <= 1


def test_a_token_takes_those_that_it_made_along(narrowed, api, user):
    def ask_for(client):
        made = client.post(TOKENS, {"name": "child", "ttl": 60, "scopes": ["admin", "read"]}).json()
        child = api()
        child.credentials(HTTP_AUTHORIZATION=f"Token {made['clear_token']}")
        return child

    parent, other = narrowed(scopes=["admin"]), narrowed(scopes=["admin"])
    child = ask_for(parent)
    family = [parent, child, ask_for(child), ask_for(parent)]
    assert api(user).delete(parent.row["url"]).status_code == 204
    assert [client.get("/v1/users/me/").status_code for client in family] == [401] * 4
    assert other.get("/v1/users/me/").status_code == 200
    assert Revocation.objects.filter(subject__startswith="t/").count() == 4
    assert AuditEntry.objects.filter(action="token.revoke", details={"with": "narrow (" + parent.row["prefix"] + "…)"}).count() == 3


@pytest.mark.parametrize("narrower", [{"scopes": ["admin", "read"]}, {"project": True}])
def test_a_narrow_token_sees_and_revokes_itself_and_those_that_it_made(narrowed, api, user, narrower):
    if "project" in narrower:
        narrower = {"project": str(make_project(user).pk)}
    full, other, client = narrowed(), narrowed(scopes=["read"]), narrowed(**narrower)
    made = client.post(TOKENS, {"name": "child", "ttl": 60, "scopes": ["read"], **narrower}).json()
    assert {row["url"] for row in client.get(TOKENS).json()["results"]} == {client.row["url"], made["url"]}
    assert [client.delete(one.row["url"]).status_code for one in (full, other)] == [404, 404]
    assert [one.get("/v1/users/me/").status_code for one in (full, other)] == [200, 200]
    assert full.get(TOKENS).json()["count"] == 4
    assert [client.delete(row["url"]).status_code for row in (made, client.row)] == [204, 204]
    assert client.get("/v1/users/me/").status_code == 401


def test_no_token_is_made_with_one_that_was_revoked_a_moment_ago(user):
    with_token = User.objects.get(pk=user.pk)
    with_token.credential = create_token(user=user, name="x", ttl=timedelta(hours=1))[0]
    revoke_token(actor=user, token_id=with_token.credential.pk)
    with pytest.raises(NotAuthenticated):
        create_token(user=with_token, name="x", ttl=timedelta(hours=1))
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize("change", [{"password": "another"}, {"is_active": False}])
def test_no_token_is_made_with_a_password_that_was_changed_a_moment_ago(user, change):
    User.objects.filter(pk=user.pk).update(**change)
    with pytest.raises(NotAuthenticated):
        create_token(user=user, name="x", ttl=timedelta(hours=1))
    assert not ApiToken.objects.exists()


def test_tokens_are_in_the_audit_log_without_their_secret(narrowed, user):
    row = narrowed(scopes=["read"]).row
    [line] = AuditEntry.objects.filter(chain=user.pk, action="token.create")
    assert line.details["scopes"] == ["read"]
    assert row["clear_token"] not in str(line.__dict__)


def test_a_bound_token_sees_no_more_than_its_person(api, narrowed, user, stranger):
    organization = make_organization(stranger)
    make_member(organization, Role.MEMBER, user)
    project = make_shared_project(organization, visibility="PUBLIC")
    bound = narrowed(project=str(project.pk))
    assert bound.get("/v1/namespaces/").json()["count"] == 1
    remove_member(actor=stranger, target=organization, user_id=user.pk)
    assert bound.get("/v1/namespaces/").json()["count"] == 0
    assert bound.get(f"/v1/namespaces/{project.namespace_id}/").status_code == 404
