"""Accounts that somebody made with the address of another."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from controlplane.accounts import access
from controlplane.accounts.models import Revocation, User
from controlplane.audit.models import AuditEntry
from controlplane.common.clock import now
from tests.accounts.people import add_app, is_signed_in, link_in, recovery_codes, sign_in
from tests.accounts.test_passwords import NEW, ask, opens, set_new
from tests.factories import make_token

pytestmark = pytest.mark.django_db


@pytest.fixture
def guest(user):
    """A browser of whoever made the account, signed in."""
    browser = Client(REMOTE_ADDR="203.0.113.9")
    assert sign_in(browser, user.username).status_code == 302
    return browser


def confirm(client, user, mailoutbox):
    """Open the link of a mail and press the button."""
    user.emailaddress_set.get(primary=True).send_confirmation()
    return client.post(link_in(mailoutbox.pop()))


def take_back(client, user, mailoutbox):
    """Do what the owner of the address does, who has never signed up: confirm, then reset the password."""
    ask(client, user.email)
    client.post(link_in(mailoutbox.pop()))
    ask(client, user.email)
    assert set_new(client, mailoutbox.pop())["Location"] == "/accounts/password/done/"


def test_the_first_confirmation_ends_tokens_and_sessions_from_before(browser, guest, api, user, mailoutbox):
    clear = make_token(user)
    answer = confirm(browser, user, mailoutbox)
    assert "from before your address was confirmed have ended" in browser.get(answer["Location"], follow=True).content.decode()
    assert not opens(api, clear)
    assert not is_signed_in(guest)
    assert Revocation.objects.filter(subject=f"u/{user.pk}").exists()
    assert AuditEntry.objects.get(action="account.access_end").details == {"because": "address confirmed", "tokens": 1, "sessions": 1}


def test_who_confirms_in_their_own_session_stays_signed_in_under_another_key(at_home, guest, user, mailoutbox):
    key = at_home.session.session_key
    confirm(at_home, user, mailoutbox)
    assert is_signed_in(at_home)
    assert at_home.session.session_key != key
    assert not is_signed_in(guest)
    assert at_home.get("/settings/sessions/").content.decode().count("127.0.0.1") == 1
    user.refresh_from_db()
    assert user.confirmed_elsewhere_at is None


def test_nothing_is_said_where_nothing_has_ended(at_home, user, mailoutbox):
    answer = confirm(at_home, user, mailoutbox)
    assert "have ended" not in at_home.get(answer["Location"], follow=True).content.decode()


def test_confirming_another_address_later_ends_nothing(browser, api, user, mailoutbox):
    confirm(browser, user, mailoutbox)
    clear = make_token(user)
    user.emailaddress_set.create(email="second@example.com").send_confirmation()
    browser.post(link_in(mailoutbox.pop()))
    assert EmailAddress.objects.get(email="second@example.com").verified
    assert opens(api, clear)


def test_the_owner_of_the_address_gets_an_account_that_nobody_else_can_enter(browser, guest, api, user, mailoutbox):
    add_app(user)
    recovery_codes(user)
    SocialAccount.objects.create(user=user, provider="company", uid="77")
    user.emailaddress_set.create(email="guest@example.com", verified=True)
    clear = make_token(user)
    take_back(browser, user, mailoutbox)
    assert sign_in(browser, user.username, NEW)["Location"] == "/settings/"
    assert is_signed_in(browser)
    assert not is_signed_in(guest)
    assert not opens(api, clear)
    assert not Authenticator.objects.exists()
    assert not SocialAccount.objects.exists()
    assert list(EmailAddress.objects.values_list("email", flat=True)) == [user.email]
    assert AuditEntry.objects.filter(action="account.earlier_ways_end", chain=user.pk).count() == 1


def test_what_is_added_between_confirmation_and_reset_goes_too(browser, user, mailoutbox):
    confirm(browser, user, mailoutbox)
    add_app(user)
    make_token(user)
    ask(browser, user.email)
    set_new(browser, mailoutbox.pop())
    assert not Authenticator.objects.exists()


def test_what_was_added_long_after_the_confirmation_stays(browser, user, mailoutbox):
    confirm(browser, user, mailoutbox)
    User.objects.update(confirmed_elsewhere_at=now() - access.SETTLING - timedelta(minutes=1))
    add_app(user)
    SocialAccount.objects.create(user=user, provider="company", uid="77")
    user.emailaddress_set.create(email="second@example.com", verified=True)
    ask(browser, user.email)
    set_new(browser, mailoutbox.pop())
    assert Authenticator.objects.filter(user=user).exists()
    assert SocialAccount.objects.filter(user=user).exists()
    assert EmailAddress.objects.filter(user=user).count() == 2


def test_who_confirmed_in_their_own_session_keeps_the_second_factor_after_a_reset(at_home, user, mailoutbox):
    add_app(user)
    confirm(at_home, user, mailoutbox)
    browser = Client()
    ask(browser, user.email)
    set_new(browser, mailoutbox.pop())
    assert sign_in(browser, user.username, NEW)["Location"] == "/accounts/sign-in/code/"
