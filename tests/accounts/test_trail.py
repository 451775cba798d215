"""What the audit log says about a person's account, all in their own chain."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client

from controlplane.accounts.models import User
from controlplane.audit.models import AuditEntry
from tests.accounts.people import SIGN_OUT, TOKENS, add_app, basic, sign_in
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db
FORM = {"username": "ines", "email": "ines@example.com"}


def lines(action):
    return list(AuditEntry.objects.filter(action=action).order_by("sequence"))


@pytest.mark.parametrize("page", [True, False])
def test_a_sign_up_is_on_record(browser, api, page):
    if page:
        browser.post("/accounts/sign-up/", {**FORM, "password1": PASSWORD})
    else:
        api().post("/v1/accounts/signup/", {**FORM, "password": PASSWORD})
    user = User.objects.get()
    [line] = lines("account.sign_up")
    assert (line.chain, line.actor_id, line.actor_name, line.address) == (user.pk, user.pk, "ines", "127.0.0.1")


def test_a_sign_up_that_is_refused_leaves_no_line(api, user):
    before = AuditEntry.objects.count()
    assert api().post("/v1/accounts/signup/", {**FORM, "username": user.username, "password": PASSWORD}).status_code == 409
    assert AuditEntry.objects.count() == before


def test_signing_out_and_ending_other_sessions_are_on_record(at_home, user):
    at_home.post("/settings/sessions/")
    assert not lines("account.sessions_end"), "there were no others"
    for _ in range(2):
        sign_in(Client(), user.username)
    at_home.post("/settings/sessions/")
    at_home.post(SIGN_OUT)
    [ended], [left] = lines("account.sessions_end"), lines("account.sign_out")
    assert ended.details == {"sessions": 2}
    assert {(line.chain, line.actor_id) for line in (ended, left)} == {(user.pk, user.pk)}


def test_a_change_of_the_profile_names_the_fields_and_not_what_stands_in_them(at_home, user):
    at_home.post("/settings/", {"first_name": "In\u00e8s", "job": "a secret"})
    at_home.post("/settings/", {"first_name": "In\u00e8s", "job": "a secret"})
    [line] = lines("account.profile_change")
    assert (line.chain, line.details) == (user.pk, {"fields": ["first_name", "job"]})
    assert "secret" not in str(line.__dict__)


def test_refused_passwords_are_on_record_once_a_minute_for_each_person(browser, api, user, stranger):
    sign_in(browser, user.email, "wrong")
    sign_in(browser, user.username, "wrong")
    api().post(TOKENS, {"name": "x"}, **basic(user.username, "wrong"))
    api().post(TOKENS, {"name": "x"}, **basic(stranger.username, "wrong"))
    sign_in(browser, "nobody", "wrong")
    first, second = sorted(lines("account.sign_in_refused"), key=lambda line: line.chain != user.pk)
    assert (first.chain, first.actor_id, first.target, first.address) == (user.pk, None, str(user.pk), "127.0.0.1")
    assert second.chain == stranger.pk
    assert first.details == {"wrong": "password"}
    assert "wrong" not in first.credential
    cache.delete(f"refused:{user.pk}")  # what a minute does
    sign_in(browser, user.username, "wrong")
    assert len(lines("account.sign_in_refused")) == 3


@pytest.mark.parametrize("page", [True, False])
def test_refused_codes_are_on_record(browser, api, user, page):
    add_app(user)
    if page:
        sign_in(browser, user.username)
        browser.post("/accounts/sign-in/code/", {"code": "000000"})
    else:
        api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD, HTTP_X_OTP="000000"))
    [line] = lines("account.sign_in_refused")
    assert (line.chain, line.details) == (user.pk, {"wrong": "code"})


def test_a_sign_in_that_is_right_leaves_no_refusal(browser, user):
    sign_in(browser, user.username)
    assert not lines("account.sign_in_refused")
