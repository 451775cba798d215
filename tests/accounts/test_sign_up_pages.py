"""Signing up in the browser, and the mail that asks to confirm the address."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.db import IntegrityError

from controlplane.accounts.models import User
from controlplane.projects.models import Project
from controlplane.workspaces.models import Namespace
from tests.accounts.people import SIGN_UP, is_signed_in, link_in
from tests.factories import PASSWORD, make_organization, make_user

pytestmark = pytest.mark.django_db
FORM = {"username": "Ines", "email": "Ines@Example.com", "password1": PASSWORD}


def test_a_sign_up_makes_account_workspace_and_session_and_sends_one_mail(browser, mailoutbox, committed):
    with committed():
        answer = browser.post(SIGN_UP, FORM)
    assert (answer.status_code, answer["Location"]) == (302, "/settings/")
    assert is_signed_in(browser)
    user = User.objects.get()
    assert (user.username, user.email) == ("Ines", "ines@example.com")
    assert Project.objects.get().path == "Ines/Getting_started"
    assert EmailAddress.objects.values_list("user", "email", "primary", "verified").get() == (user.pk, "ines@example.com", True, False)
    assert [mail.to for mail in mailoutbox] == [["ines@example.com"]]


def test_a_sign_up_by_the_api_sends_the_same_mail(api, mailoutbox, committed):
    with committed():
        answer = api().post("/v1/accounts/signup/", {"username": "ines", "email": "Ines@Example.com", "password": PASSWORD})
    assert answer.status_code == 201
    assert answer.json()["email"] == "ines@example.com"
    assert [mail.to for mail in mailoutbox] == [["ines@example.com"]]
    assert EmailAddress.objects.get().primary
    assert "/accounts/address/" in mailoutbox[0].body


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "a b"}, "username"),
        ({"username": "../etc"}, "username"),
        ({"username": "Settings"}, "username"),
        ({"username": "OPERATOR"}, "username"),
        ({"username": "x" * 61}, "username"),
        ({"username": ""}, "username"),
        ({"username": "ines@example.com"}, "username"),
        ({"email": "nonsense"}, "email"),
        ({"email": '"a\x01b"@example.com'}, "email"),
        ({"email": '"a\x7fb"@example.com'}, "email"),
        ({"email": "\u0130nes@example.com"}, "email"),
        ({"email": "a@" + "x" * 60 + "." + "\u0130" * 60 + "." + ("y" * 40 + ".") * 3 + "com"}, "email"),
        ({"password1": "12345678"}, "password1"),
        ({"password1": "short"}, "password1"),
        ({"password1": "ines@example.com"}, "password1"),
    ],
)
def test_a_bad_form_answers_200_beside_the_field_and_makes_nothing(browser, mailoutbox, change, field):
    answer = browser.post(SIGN_UP, {**FORM, **change})
    assert answer.status_code == 200
    assert answer.context["form"].errors[field]
    assert f'id="id_{field}_error"' in answer.content.decode()
    assert not User.objects.exists()
    assert not Namespace.objects.exists()
    assert not mailoutbox


@pytest.mark.parametrize("change", [{"username": "INES"}, {"email": "INES@EXAMPLE.COM"}])
def test_a_taken_name_or_address_is_refused_whatever_its_case(browser, change):
    make_user("ines")
    answer = browser.post(SIGN_UP, {**FORM, "username": "other", "email": "other@example.com", **change})
    assert answer.status_code == 200
    assert User.objects.count() == 1


def test_the_name_of_an_organization_is_taken_beside_the_field(browser, user):
    make_organization(user, "Harbour")
    answer = browser.post(SIGN_UP, {**FORM, "username": "hARBOUR"})
    assert answer.status_code == 200
    assert answer.context["form"].errors["username"] == ["The name 'hARBOUR' is taken. Choose another one."]
    assert User.objects.count() == 1


def test_an_address_beside_the_main_one_is_taken_too_by_page_and_by_api(browser, api, user):
    user.emailaddress_set.create(email="second@example.com")
    form = {"username": "ines", "email": "Second@example.com"}
    assert browser.post(SIGN_UP, {**form, "password1": PASSWORD}).status_code == 200
    answer = api().post("/v1/accounts/signup/", {**form, "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (409, "email_taken")
    assert User.objects.count() == 1
    assert Namespace.objects.count() == 1


def test_the_database_itself_keeps_an_address_in_one_account(user, stranger):
    with pytest.raises(IntegrityError):
        stranger.emailaddress_set.create(email=user.email.upper())


def test_who_loses_a_race_for_a_name_is_told_and_has_nothing(browser, monkeypatch):
    make_user("ines")
    monkeypatch.setattr("allauth.account.adapter.DefaultAccountAdapter.clean_username", lambda self, username, shallow=False: username)
    answer = browser.post(SIGN_UP, {**FORM, "email": "other@example.com"}, follow=True)
    assert "Someone took this name" in answer.content.decode()
    assert User.objects.count() == 1
    assert EmailAddress.objects.count() == 1


def test_a_sign_up_that_fails_half_way_leaves_nothing(browser, monkeypatch):
    def fail(**_):
        raise RuntimeError("no disk")

    monkeypatch.setattr("controlplane.projects.receivers.create_getting_started", fail)
    with pytest.raises(RuntimeError):
        browser.post(SIGN_UP, FORM)
    assert not User.objects.exists()
    assert not EmailAddress.objects.exists()


def test_the_link_confirms_the_address_once_and_only_with_the_form(browser, mailoutbox):
    browser.post(SIGN_UP, FORM)
    path = link_in(mailoutbox[0])
    assert browser.get(path).status_code == 200
    assert not EmailAddress.objects.get().verified
    browser.post(path)
    assert EmailAddress.objects.get().verified
    assert "used or is too old" in browser.get(path).content.decode()


def test_a_link_that_was_changed_confirms_nothing(browser, mailoutbox):
    browser.post(SIGN_UP, FORM)
    path = link_in(mailoutbox[0])[:-4] + "abc/"
    assert "used or is too old" in browser.get(path).content.decode()
    assert browser.post(path).status_code == 404
    assert not EmailAddress.objects.get().verified


def test_the_link_names_our_own_origin_whatever_host_the_request_came_with(browser, mailoutbox, settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.PUBLIC_URL = "https://slipway.example.com"
    browser.post(SIGN_UP, FORM, headers={"host": "evil.example.com"})
    assert "https://slipway.example.com/accounts/address/" in mailoutbox[0].body
    assert "evil" not in mailoutbox[0].body


def test_an_unverified_person_may_work(browser):
    browser.post(SIGN_UP, FORM)
    assert browser.get("/settings/tokens/").status_code == 200


def test_a_mail_server_that_is_away_fails_no_sign_up(browser, settings, monkeypatch):
    def away(*_, **__):
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.EmailMessage.send", away)
    answer = browser.post(SIGN_UP, FORM, follow=True)
    assert "could not be sent" in answer.content.decode()
    assert User.objects.count() == 1
