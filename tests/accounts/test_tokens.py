"""API tokens: made with a password, seen once, used, revoked, expired."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from controlplane.accounts import services
from controlplane.accounts.models import ApiToken
from controlplane.common.clock import now
from tests.factories import PASSWORD, make_token

pytestmark = pytest.mark.django_db
TOKENS = "/v1/users/me/tokens/"


def basic(username, password):
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def me(api, token):
    return api().get("/v1/users/me/", HTTP_AUTHORIZATION=f"Token {token}")


def test_a_password_makes_a_token_that_opens_the_api(api, user):
    answer = api().post(TOKENS, {"name": "laptop", "ttl": 600}, **basic(user.username, PASSWORD))
    assert answer.status_code == 201, answer.json()
    clear = answer.json()["clear_token"]
    assert me(api, clear).json()["username"] == user.username
    token = ApiToken.objects.get()
    assert clear not in str(ApiToken.objects.values().get())
    assert timedelta(seconds=590) < token.expires_at - now() <= timedelta(seconds=600)


def test_the_clear_token_is_seen_once(api, user):
    clear = api().post(TOKENS, {"name": "laptop"}, **basic(user.username, PASSWORD)).json()["clear_token"]
    listed = api(user).get(TOKENS)
    assert clear not in listed.content.decode()
    assert {row["name"] for row in listed.json()["results"]} == {"laptop", "test"}


@pytest.mark.parametrize("password", ["wrong", "", PASSWORD.upper()])
def test_a_wrong_password_makes_none(api, user, password):
    answer = api().post(TOKENS, {"name": "laptop", "ttl": 600}, **basic(user.username, password))
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"]
    assert not ApiToken.objects.exists()


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic AAAA", "Basic " + base64.b64encode(b"\xff\xfe:x").decode()])
def test_nonsense_in_place_of_a_password_is_a_401(api, header):
    assert api().post(TOKENS, {"name": "laptop"}, HTTP_AUTHORIZATION=header).status_code == 401


@pytest.mark.parametrize("ttl", [0, -5, "soon", 10**12])
def test_a_time_to_live_must_make_sense(api, user, ttl):
    answer = api().post(TOKENS, {"name": "laptop", "ttl": ttl}, **basic(user.username, PASSWORD))
    assert answer.status_code == 400
    assert "ttl" in answer.json()["fields"]
    assert not ApiToken.objects.exists()


def test_use_is_recorded(api, user):
    clear = make_token(user)
    assert ApiToken.objects.get().last_used_at is None
    me(api, clear)
    assert ApiToken.objects.get().last_used_at is not None


@pytest.mark.parametrize("header", ["", "Token", "Token nonsense", "Token slw_x y", "Bearer abc", "token"])
def test_without_a_valid_token_the_answer_is_401(api, db, header):
    answer = api().get("/v1/users/me/", HTTP_AUTHORIZATION=header)
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"


def test_an_expired_token_is_a_401(api, user, monkeypatch):
    clear = make_token(user, seconds=60)
    monkeypatch.setattr(services, "now", lambda: now() + timedelta(seconds=61))
    assert me(api, clear).status_code == 401


def test_a_revoked_token_is_a_401_at_once(api, user):
    clear = make_token(user)
    row = ApiToken.objects.get()
    answer = api(user).delete(f"{TOKENS}{row.pk}/")
    assert (answer.status_code, answer["Content-Type"]) == (204, "text/plain")
    assert me(api, clear).status_code == 401


def test_nobody_revokes_the_token_of_another(api, user, stranger):
    clear = make_token(user)
    answer = api(stranger).delete(f"{TOKENS}{ApiToken.objects.get(user=user).pk}/")
    assert answer.status_code == 404
    assert me(api, clear).status_code == 200


def test_a_token_of_someone_inactive_is_a_401(api, user):
    clear = make_token(user)
    user.is_active = False
    user.save()
    assert me(api, clear).status_code == 401


def test_anyone_with_an_account_finds_a_user_by_name_but_not_their_address(api, user, stranger):
    answer = api(stranger).get("/v1/users/", {"username": user.username}).json()
    assert [row["username"] for row in answer["results"]] == [user.username]
    assert "email" not in answer["results"][0]
    assert api(stranger).get("/v1/users/", {"username": "nobody"}).json()["count"] == 0
