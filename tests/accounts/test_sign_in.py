"""Signing in and out in the browser."""

from __future__ import annotations

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.sessions.models import Session
from django.test import Client

from controlplane.accounts.models import User
from controlplane.audit.models import AuditEntry
from controlplane.common.clock import now
from tests.accounts.people import SIGN_IN, SIGN_OUT, is_signed_in, sign_in, verify
from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db


def test_a_name_or_an_address_in_any_case_and_the_password_sign_in(user):
    for login in (user.username, user.username.upper(), user.email, user.email.upper(), f" {user.username} "):
        browser = Client()
        answer = sign_in(browser, login)
        assert (answer.status_code, answer["Location"]) == (302, "/settings/")
        assert is_signed_in(browser)


def test_a_second_address_signs_in_only_once_it_is_confirmed(browser, user):
    address = user.emailaddress_set.create(email="second@example.com")
    assert sign_in(browser, address.email).status_code == 200
    assert not is_signed_in(browser)
    address.set_verified()
    assert sign_in(browser, address.email).status_code == 302


@pytest.mark.parametrize("login", ["{name}", "{name}@example.com", "nobody", "nobody@example.com", "x" * 200])
def test_a_wrong_password_an_unknown_name_and_a_closed_account_are_answered_alike(browser, user, login):
    closed = User.objects.create_user("closed", "closed@example.com", PASSWORD, is_active=False)
    answers = [
        sign_in(browser, login.format(name=user.username), "wrong"),
        sign_in(browser, closed.username),
        sign_in(browser, "nobody-else", "wrong"),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert "The name or the password is wrong." in answer.content.decode()
        assert "_auth_user_id" not in browser.session
    assert len({str(answer.context["form"].errors) for answer in answers}) == 1


def noted(kept, looks):
    def noting(*args, **kwargs):
        looks.append(kept.__name__)
        return kept(*args, **kwargs)

    return noting


def test_each_try_looks_at_one_password_whoever_it_is(browser, user, monkeypatch):
    looks: list[str] = []
    for name in ("encode", "verify"):
        monkeypatch.setattr(Argon2PasswordHasher, name, noted(getattr(Argon2PasswordHasher, name), looks))
    counts = []
    for login in (user.username, user.email, "nobody", "nobody@example.com"):
        looks.clear()
        sign_in(browser, login, "wrong")
        counts.append(len(looks))
    assert counts == [1, 1, 1, 1]


def test_the_session_has_another_key_after_sign_in_and_the_old_one_opens_nothing(browser, user):
    browser.get(SIGN_IN)
    session = browser.session
    session["kept"] = "by whoever set this cookie"
    session.save()
    planted = session.session_key
    browser.cookies["slipway_session"] = planted
    sign_in(browser, user.username)
    assert browser.session.session_key != planted
    thief = Client()
    thief.cookies["slipway_session"] = planted
    assert not is_signed_in(thief)


def test_an_unknown_session_key_is_not_taken_over(browser, user):
    browser.cookies["slipway_session"] = "a" * 32
    sign_in(browser, user.username)
    assert browser.session.session_key != "a" * 32


def test_signing_out_takes_a_form_and_ends_the_session(at_home):
    key = at_home.session.session_key
    assert at_home.get(SIGN_OUT).status_code == 200
    assert is_signed_in(at_home)
    assert at_home.post(SIGN_OUT)["Location"] == SIGN_IN
    assert not is_signed_in(at_home)
    assert not Session.objects.filter(pk=key).exists()


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example.com/",
        "//evil.example.com/",
        "/\\evil.example.com",
        "\\\\evil.example.com",
        "http:///evil.example.com",
        "javascript:alert(1)",
        "https://localhost/",
        "https:evil.example.com",
        "///evil.example.com",
        " //evil.example.com",
    ],
)
def test_nobody_is_sent_to_another_site(user, target):
    for path in (SIGN_IN, SIGN_OUT):
        browser = Client()
        if path == SIGN_OUT:
            sign_in(browser, user.username)
        answer = browser.post(path, {"login": user.username, "password": PASSWORD, "next": target})
        assert answer.status_code == 302
        assert answer["Location"] in ("/settings/", SIGN_IN)


def test_people_are_sent_on_to_the_page_they_wanted(browser, user):
    wanted = browser.get("/settings/tokens/")
    assert wanted["Location"] == f"{SIGN_IN}?next=/settings/tokens/"
    answer = browser.post(wanted["Location"], {"login": user.username, "password": PASSWORD})
    assert answer["Location"] == "/settings/tokens/"


def test_a_form_of_another_site_signs_nobody_in(user):
    browser = Client(enforce_csrf_checks=True, headers={"accept": "text/html"})
    answer = sign_in(browser, user.username)
    assert answer.status_code == 403
    assert "The form could not be accepted" in answer.content.decode()
    assert "_auth_user_id" not in browser.session


def test_a_closed_account_is_out_at_once(at_home, user):
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert not is_signed_in(at_home)


def test_signing_in_elsewhere_can_be_ended_from_the_sessions_page(at_home, user):
    elsewhere = Client()
    sign_in(elsewhere, user.username)
    page = at_home.get("/settings/sessions/").content.decode()
    assert page.count("127.0.0.1") == 2
    at_home.post("/settings/sessions/")
    assert not is_signed_in(elsewhere)
    assert is_signed_in(at_home)


def test_sessions_that_are_over_are_removed(browser, user):
    Session.objects.create(session_key="old", session_data="", expire_date=now().replace(year=2020))
    sign_in(browser, user.username)
    assert not Session.objects.filter(pk="old").exists()


def test_a_sign_in_is_in_the_audit_log_with_where_from_and_a_failed_one_is_not(browser, user):
    sign_in(browser, user.username, "wrong")
    assert not AuditEntry.objects.filter(action="account.sign_in").exists()
    sign_in(browser, user.username)
    entry = AuditEntry.objects.get(action="account.sign_in")
    assert (entry.actor_id, entry.actor_name, entry.address) == (user.pk, user.username, "127.0.0.1")


def test_who_is_verified_elsewhere_wins_an_address_over_who_only_claims_it(browser, user, stranger):
    mine = user.emailaddress_set.create(email="shared@example.com")
    mine.set_verified()
    User.objects.filter(pk=stranger.pk).update(email="shared@example.com")
    verify(user)
    sign_in(browser, "shared@example.com")
    assert browser.session["_auth_user_id"] == str(user.pk)
