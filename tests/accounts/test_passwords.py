"""Changing, resetting and setting passwords."""

from __future__ import annotations

import pytest
from django.test import Client

from controlplane.accounts.models import Revocation
from controlplane.audit.models import AuditEntry
from tests.accounts.people import is_signed_in, link_in, sign_in, verify
from tests.factories import PASSWORD, make_token

pytestmark = pytest.mark.django_db
NEW = "another walk along the pier"
CHANGE, RESET = "/settings/password/", "/accounts/password/"


def ask(client, email):
    return client.post(RESET, {"email": email})


def set_new(client, mail, password=NEW):
    form = client.get(link_in(mail))
    return client.post(form["Location"], {"password1": password, "password2": password}) if form.status_code == 302 else form


def opens(api, clear):
    """Tell whether a token opens the API."""
    return api().get("/v1/users/me/", HTTP_AUTHORIZATION=f"Token {clear}").status_code == 200


def test_a_new_password_keeps_this_session_ends_others_and_is_told(at_home, user, mailoutbox):
    elsewhere = Client()
    sign_in(elsewhere, user.username)
    old_key = at_home.session.session_key
    answer = at_home.post(CHANGE, {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW})
    assert answer.status_code == 302
    assert is_signed_in(at_home)
    assert at_home.session.session_key != old_key
    assert not is_signed_in(elsewhere)
    assert sign_in(Client(), user.username, NEW).status_code == 302
    assert [mail.to for mail in mailoutbox] == [[user.email]]
    assert "127.0.0.1" in mailoutbox[0].body


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"oldpassword": "wrong"}, "oldpassword"),
        ({"password1": "12345678", "password2": "12345678"}, "password1"),
        ({"password2": "something else"}, "password2"),
    ],
)
def test_a_change_that_will_not_do_changes_nothing(at_home, user, change, field):
    answer = at_home.post(CHANGE, {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW, **change})
    assert answer.status_code == 200
    assert answer.context["form"].errors[field]
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_a_forgotten_password_is_reset_by_a_link_that_is_good_once(browser, user, mailoutbox):
    verify(user)
    elsewhere = Client()
    sign_in(elsewhere, user.username)
    assert ask(browser, user.email.upper())["Location"] == "/accounts/password/sent/"
    assert set_new(browser, mailoutbox[0])["Location"] == "/accounts/password/done/"
    user.refresh_from_db()
    assert user.check_password(NEW)
    assert not is_signed_in(browser)
    assert not is_signed_in(elsewhere)
    again = set_new(Client(), mailoutbox[0], "yet another password")
    assert "used or is too old" in again.content.decode()
    user.refresh_from_db()
    assert user.check_password(NEW)


def test_the_key_of_a_link_does_not_stay_in_the_address(browser, user, mailoutbox):
    verify(user)
    ask(browser, user.email)
    path = link_in(mailoutbox[0])
    assert browser.get(path)["Location"] == f"/accounts/password/{user.pk.hex}-set-password/"


def test_a_link_of_one_person_resets_no_password_of_another(browser, user, stranger, mailoutbox):
    verify(user)
    ask(browser, user.email)
    path = link_in(mailoutbox[0]).replace(user.pk.hex, stranger.pk.hex)
    assert "used or is too old" in browser.get(path).content.decode()
    stranger.refresh_from_db()
    assert stranger.check_password(PASSWORD)


def test_all_addresses_are_answered_alike_and_all_get_a_mail(browser, user, stranger, mailoutbox):
    verify(user)
    answers = [ask(browser, email) for email in (user.email, stranger.email, "nobody@example.com")]
    assert {(answer.status_code, answer["Location"], answer.content) for answer in answers} == {(302, "/accounts/password/sent/", b"")}
    assert [mail.subject for mail in mailoutbox] == [
        "Reset your password",
        "Confirm your e-mail address",
        "There is no account with this address",
    ]


def test_an_unconfirmed_address_is_confirmed_first(browser, user, mailoutbox):
    ask(browser, user.email)
    browser.post(link_in(mailoutbox[0]))
    ask(browser, user.email)
    set_new(browser, mailoutbox[-1])
    user.refresh_from_db()
    assert user.check_password(NEW)


def test_a_new_address_makes_an_older_link_void(browser, user, mailoutbox):
    verify(user)
    ask(browser, user.email)
    user.emailaddress_set.create(email="second@example.com")
    assert "used or is too old" in set_new(browser, mailoutbox[0]).content.decode()
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_a_closed_account_gets_no_link(browser, user, mailoutbox):
    verify(user)
    user.is_active = False
    user.save()
    ask(browser, user.email)
    assert "Reset your password" not in [mail.subject for mail in mailoutbox]


def test_a_reset_does_not_pass_the_second_factor(browser, user, mailoutbox):
    from tests.accounts.people import add_app

    verify(user)
    add_app(user)
    ask(browser, user.email)
    set_new(browser, mailoutbox[0])
    assert sign_in(browser, user.username, NEW)["Location"] == "/accounts/sign-in/code/"
    assert not is_signed_in(browser)


def test_mails_for_one_address_have_a_limit(browser, user, mailoutbox):
    verify(user)
    answers = [ask(browser, user.email).status_code for _ in range(6)]
    assert answers == [302] * 5 + [429]
    assert len(mailoutbox) == 5


def test_a_reset_is_on_record_and_revokes_all_tokens(browser, api, user, stranger, mailoutbox):
    clear, theirs = make_token(user), make_token(stranger)
    verify(user)
    ask(browser, user.email)
    set_new(browser, mailoutbox[0])
    assert AuditEntry.objects.filter(action="account.password_reset", actor_id=user.pk).count() == 1
    assert AuditEntry.objects.get(action="account.access_end").details == {"because": "password reset", "tokens": 1, "sessions": 0}
    assert opens(api, theirs)
    assert not opens(api, clear)
    assert Revocation.objects.filter(subject=f"u/{user.pk}").exists()


def test_a_reset_in_a_browser_that_is_signed_in_works_and_signs_it_out(at_home, user, mailoutbox):
    verify(user)
    ask(at_home, user.email)
    assert set_new(at_home, mailoutbox[0])["Location"] == "/accounts/password/done/"
    assert at_home.get("/accounts/password/done/").status_code == 200
    assert not is_signed_in(at_home)


def test_a_reset_that_fails_half_way_keeps_the_old_password(browser, user, mailoutbox, monkeypatch):
    def fail(**_):
        raise RuntimeError("no disk")

    verify(user)
    ask(browser, user.email)
    monkeypatch.setattr("controlplane.accounts.access.revoke_all_endpoint_access", fail)
    with pytest.raises(RuntimeError):
        set_new(browser, mailoutbox[0])
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


@pytest.mark.parametrize(("ticked", "works"), [({"end_tokens": "on"}, False), ({}, True)])
def test_a_change_revokes_all_tokens_unless_the_box_is_unticked(at_home, api, user, ticked, works):
    clear = make_token(user)
    assert "checked" in str(at_home.get(CHANGE).context["form"]["end_tokens"])
    at_home.post(CHANGE, {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW, **ticked})
    assert opens(api, clear) is works
    assert Revocation.objects.filter(subject=f"u/{user.pk}").exists() is not works
    assert is_signed_in(at_home)


def test_a_change_that_will_not_do_revokes_nothing(at_home, api, user):
    clear = make_token(user)
    at_home.post(CHANGE, {"oldpassword": "wrong", "password1": NEW, "password2": NEW, "end_tokens": "on"})
    assert opens(api, clear)


def test_somebody_without_a_password_sets_one(at_home, user):
    user.set_unusable_password()
    user.save()
    from django.contrib.auth import HASH_SESSION_KEY

    session = at_home.session
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    assert at_home.get(CHANGE)["Location"] == "/settings/password/first/"
    at_home.post("/settings/password/first/", {"password1": NEW, "password2": NEW})
    user.refresh_from_db()
    assert user.check_password(NEW)
