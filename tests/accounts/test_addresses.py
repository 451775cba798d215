"""The e-mail addresses of a person."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.test import Client

from tests.accounts.people import SIGN_IN, link_in, sign_in, verify

pytestmark = pytest.mark.django_db
PAGE = "/settings/addresses/"


def add(client, email):
    return client.post(PAGE, {"email": email, "action_add": ""})


def test_a_new_address_gets_a_mail_and_counts_once_it_is_confirmed(at_home, user, mailoutbox):
    add(at_home, "Second@Example.com")
    address = EmailAddress.objects.get(email="second@example.com")
    assert (address.user, address.verified, address.primary) == (user, False, False)
    [mail] = mailoutbox
    assert mail.to == ["second@example.com"]
    at_home.post(link_in(mail))
    address.refresh_from_db()
    assert address.verified


def test_a_confirmed_address_can_be_the_main_one_and_the_old_one_hears_of_it(at_home, user, mailoutbox):
    verify(user)
    old = user.email
    user.emailaddress_set.create(email="second@example.com", verified=True)
    at_home.post(PAGE, {"email": "second@example.com", "action_primary": ""})
    user.refresh_from_db()
    assert user.email == "second@example.com"
    assert EmailAddress.objects.get(user=user, primary=True).email == "second@example.com"
    assert [mail.to for mail in mailoutbox] == [[old]]


@pytest.mark.parametrize("email", ["{other}", "{other_upper}", "{mine}", "nonsense", "", '"a\x01b"@example.com', "\u0130nes@example.com"])
def test_an_address_that_will_not_do_is_refused_beside_the_field(at_home, user, stranger, email):
    words = {"other": stranger.email, "other_upper": stranger.email.upper(), "mine": user.email}
    answer = add(at_home, email.format(**words))
    assert answer.status_code == 200
    assert answer.context["form"].errors["email"]
    assert EmailAddress.objects.filter(user=user).count() == 1


def test_the_main_address_stays(at_home, user):
    user.emailaddress_set.create(email="second@example.com", verified=True)
    at_home.post(PAGE, {"email": user.email, "action_remove": ""})
    assert EmailAddress.objects.filter(user=user).count() == 2
    at_home.post(PAGE, {"email": "second@example.com", "action_remove": ""})
    assert EmailAddress.objects.get(user=user).email == user.email


def test_an_unconfirmed_address_does_not_become_the_main_one(at_home, user):
    verify(user)
    user.emailaddress_set.create(email="second@example.com")
    at_home.post(PAGE, {"email": "second@example.com", "action_primary": ""})
    assert EmailAddress.objects.get(user=user, primary=True).email == user.email


def test_nobody_touches_an_address_of_another(at_home, stranger, mailoutbox):
    theirs = stranger.emailaddress_set.create(email="second@example.com", verified=True)
    for action in ("action_remove", "action_primary", "action_send"):
        at_home.post(PAGE, {"email": theirs.email, action: ""})
    theirs.refresh_from_db()
    assert (theirs.user, theirs.primary) == (stranger, False)
    assert not mailoutbox


def test_a_change_asks_for_the_password_first(user, mailoutbox):
    browser = Client()
    sign_in(browser, user.username)
    answer = add(browser, "second@example.com")
    assert answer["Location"].startswith("/accounts/confirm/")
    assert EmailAddress.objects.filter(user=user).count() == 1
    assert not mailoutbox


def test_the_page_is_for_those_who_are_signed_in(browser, db):
    assert browser.get(PAGE)["Location"] == f"{SIGN_IN}?next={PAGE}"


def test_there_is_an_end_to_addresses(at_home, user):
    for number in range(4):
        user.emailaddress_set.create(email=f"more{number}@example.com")
    assert "Five addresses is the most" in add(at_home, "sixth@example.com").content.decode()
    assert EmailAddress.objects.filter(user=user).count() == 5


def test_the_link_can_be_asked_for_again_but_not_all_the_time(at_home, user, mailoutbox):
    for _ in range(3):
        at_home.post(PAGE, {"email": user.email, "action_send": ""})
    assert len(mailoutbox) == 1
