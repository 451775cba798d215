"""API tokens and the profile in the settings area."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from controlplane.accounts import services
from controlplane.accounts.models import ApiToken
from controlplane.accounts.scopes import Scope
from controlplane.common.clock import now
from tests.accounts.people import SIGN_IN, sign_in
from tests.factories import make_token

pytestmark = pytest.mark.django_db
LIST, NEW = "/settings/tokens/", "/settings/tokens/new/"
FORM = {"name": "laptop", "lifetime": "30", "scopes": ["everything"]}


def test_a_token_is_shown_once_and_opens_the_api(at_home, api, user):
    answer = at_home.post(NEW, FORM)
    clear = answer.context["clear"]
    assert clear in answer.content.decode()
    assert answer["Cache-Control"] == "no-store"
    assert clear not in at_home.get(LIST).content.decode()
    assert clear not in str(ApiToken.objects.values().get())
    assert clear not in str(dict(at_home.session))
    assert api().get("/v1/users/me/", HTTP_AUTHORIZATION=f"Token {clear}").json()["username"] == user.username
    assert ApiToken.objects.get().scopes is None


def test_a_token_may_do_what_was_ticked_and_no_more(at_home, api):
    clear = at_home.post(NEW, {**FORM, "scopes": ["read", "consume"]}).context["clear"]
    assert ApiToken.objects.get().scopes == [Scope.CONSUME, Scope.READ]
    words = {"HTTP_AUTHORIZATION": f"Token {clear}"}
    assert api().get("/v1/users/me/", **words).status_code == 200
    assert api().post("/v1/users/me/tokens/", {"name": "wider"}, **words).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"lifetime": "5"},
        {"lifetime": ""},
        {"scopes": []},
        {"scopes": ["root"]},
        {"scopes": ["everything", "read"]},
    ],
)
def test_a_form_that_will_not_do_makes_none(at_home, change):
    answer = at_home.post(NEW, {**FORM, **change})
    assert answer.status_code == 200
    assert answer.context["form"].errors[next(iter(change))]
    assert not ApiToken.objects.exists()


def test_making_one_asks_for_the_password_first(user):
    browser = Client()
    sign_in(browser, user.username)
    for answer in (browser.get(NEW), browser.post(NEW, FORM)):
        assert answer["Location"].startswith("/accounts/confirm/")
    assert not ApiToken.objects.exists()


def test_revoking_takes_a_form_and_holds_at_once(at_home, api, user):
    clear = make_token(user)
    path = f"{LIST}{ApiToken.objects.get().pk}/revoke/"
    assert at_home.get(path).status_code == 405
    assert api().get("/v1/users/me/", HTTP_AUTHORIZATION=f"Token {clear}").status_code == 200
    assert at_home.post(path)["Location"] == LIST
    assert api().get("/v1/users/me/", HTTP_AUTHORIZATION=f"Token {clear}").status_code == 401


def test_nobody_sees_or_revokes_the_tokens_of_another(at_home, api, stranger):
    clear = make_token(stranger)
    token = ApiToken.objects.get()
    assert token.prefix not in at_home.get(LIST).content.decode()
    at_home.post(f"{LIST}{token.pk}/revoke/")
    assert api().get("/v1/users/me/", HTTP_AUTHORIZATION=f"Token {clear}").status_code == 200


def test_the_list_tells_last_use_and_what_is_over(at_home, api, user):
    used, _ = make_token(user), make_token(user)
    api().get("/v1/users/me/", HTTP_AUTHORIZATION=f"Token {used}")
    make_token(user, seconds=-1)
    page = at_home.get(LIST)
    assert [token.last_used_at is None for token in page.context["valid"]] == [True, False]
    assert len(page.context["over"]) == 1
    assert "never" in page.content.decode()


def test_names_of_tokens_are_text(at_home):
    at_home.post(NEW, {**FORM, "name": "<script>alert(1)</script>"})
    assert "<script>" not in at_home.get(LIST).content.decode()


@pytest.mark.parametrize("path", [LIST, NEW, "/settings/", "/settings/second-factor/", "/settings/connections/", "/settings/sessions/"])
def test_the_settings_are_for_those_who_are_signed_in(browser, db, path):
    assert browser.get(path)["Location"].startswith(SIGN_IN)


def test_a_profile_is_saved(at_home, user):
    at_home.post("/settings/", {"first_name": "Inès", "homepage": "example.com/me", "username": "admin", "is_staff": "on"})
    user.refresh_from_db()
    assert (user.first_name, user.homepage) == ("Inès", "https://example.com/me")
    assert (user.username, user.is_staff) != ("admin", True)
    assert not user.is_staff


@pytest.mark.parametrize("homepage", ["javascript:alert(1)", "nonsense", "data:text/html,x"])
def test_a_web_page_is_one(at_home, user, homepage):
    assert at_home.post("/settings/", {"homepage": homepage}).status_code == 200
    user.refresh_from_db()
    assert user.homepage == ""


def make_many(user, count, **fields):
    made = [
        ApiToken(
            user=user, name=f"n{number}", digest=f"{user.pk}{number}"[:64], prefix="slw_x", expires_at=now() + timedelta(hours=1), **fields
        )
        for number in range(count)
    ]
    return ApiToken.objects.bulk_create(made)


def test_the_list_has_pages_and_takes_two_queries_however_long_it_is(at_home, user, stranger, django_assert_num_queries):
    make_many(user, 120)
    make_many(stranger, 3)
    ApiToken.objects.filter(user=user, name__in=["n0", "n1"]).update(revoked_at=now())
    around = 2  # the session and its user
    with django_assert_num_queries(around + 2):
        first = at_home.get(LIST)
    pages = [first, at_home.get(f"{LIST}?page=2"), at_home.get(f"{LIST}?page=3"), at_home.get(f"{LIST}?page=4")]
    assert [len(page.context["valid"]) for page in pages] == [50, 50, 18, 0]
    assert [len(page.context["over"]) for page in pages] == [2, 0, 0, 0]
    assert 'href="?page=2"' in first.content.decode()
    assert "?page=4" not in pages[2].content.decode()
    assert len({token.pk for page in pages for token in page.context["valid"]}) == 118


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "9" * 50, "²"])
def test_nonsense_in_place_of_a_page_shows_the_first(at_home, user, page):
    make_token(user)
    assert len(at_home.get(LIST, {"page": page}).context["valid"]) == 1


def test_nobody_has_more_valid_tokens_than_500(at_home, api, user, stranger, monkeypatch):
    assert services.TOKENS_AT_MOST == 500
    monkeypatch.setattr(services, "TOKENS_AT_MOST", 3)
    rows = make_many(user, 2)
    client = api(user)
    refused = client.post("/v1/users/me/tokens/", {"name": "one more"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_tokens")
    assert "Revoke some" in refused.json()["detail"]
    page = at_home.post(NEW, FORM)
    assert page.status_code == 200
    assert "Revoke some" in page.content.decode()
    assert ApiToken.objects.count() == 3
    assert api(stranger).post("/v1/users/me/tokens/", {"name": "one"}).status_code == 201
    ApiToken.objects.filter(pk=rows[0].pk).update(expires_at=now())
    assert client.post("/v1/users/me/tokens/", {"name": "one more"}).status_code == 201
