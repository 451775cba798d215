"""Signing in with a third party, played by an OpenID Connect server on loopback."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp
from django.test import Client

from controlplane.accounts.models import User
from controlplane.accounts.providers import social_settings
from controlplane.projects.models import Project
from controlplane.workspaces.models import Namespace
from tests.accounts.people import SIGN_IN, add_app, is_signed_in, sign_in, verify
from tests.fakes.openid import running_openid_server

pytestmark = pytest.mark.django_db
START, CONNECTIONS, SIGN_UP = "/accounts/with/oidc/company/login/", "/settings/connections/", "/accounts/with/sign-up/"


@pytest.fixture
def company(settings):
    """A third party that the environment names."""
    with running_openid_server() as server:
        settings.SOCIALACCOUNT_PROVIDERS = social_settings(json.dumps([server.entry()])).providers
        yield server


@pytest.fixture
def trusted(company, settings):
    settings.SOCIALACCOUNT_PROVIDERS = social_settings(json.dumps([company.entry(trust_email=True)])).providers
    return company


def leave(client, query=""):
    """Press the button; returns the address of the third party that the browser goes to."""
    page = client.post(START + query)
    assert page.status_code == 200, page.content
    found = re.search(r'content="0;url=([^"]+)"', page.content.decode())
    assert found
    return unescape(found.group(1))


def come_back(client, server, query=""):
    return client.get(server.agree(leave(client, query)))


def sign_up(client, username="mei", email="mei@example.com", **more):
    return client.post(SIGN_UP, {"username": username, "email": email, **more})


def connected(user, sub="77"):
    return SocialAccount.objects.create(user=user, provider="company", uid=sub)


def test_nothing_is_shown_and_nothing_is_there_without_third_parties(browser, db):
    assert "Sign in with" not in browser.get(SIGN_IN).content.decode()
    assert browser.post(START).status_code == 404


def test_rows_of_the_database_are_no_third_parties(browser, db):
    SocialApp.objects.create(provider="openid_connect", provider_id="company", name="Company", client_id="x", settings={"server_url": "x"})
    assert "Sign in with" not in browser.get(SIGN_IN).content.decode()
    assert browser.post(START).status_code == 404


def test_a_newcomer_chooses_a_name_and_has_a_workspace(browser, company):
    assert f'action="{START}?process=login"' in browser.get(SIGN_IN).content.decode()
    assert come_back(browser, company)["Location"] == SIGN_UP
    assert not User.objects.exists()
    assert sign_up(browser)["Location"] == "/settings/"
    user = User.objects.get()
    assert (user.username, user.email, user.has_usable_password()) == ("mei", "mei@example.com", False)
    assert Project.objects.get().path == "mei/Getting_started"
    assert EmailAddress.objects.get().verified
    assert is_signed_in(browser)


@pytest.mark.parametrize(
    "change", [{"username": "settings"}, {"username": "a b"}, {"username": "{taken}"}, {"email": "{taken}@example.com"}]
)
def test_a_newcomer_with_a_name_or_address_that_will_not_do_gets_nothing(browser, company, user, change):
    come_back(browser, company)
    words = {name: value.format(taken=user.username.upper()) for name, value in change.items()}
    assert sign_up(browser, **words).status_code == 200
    assert User.objects.count() == Namespace.objects.count() == 1
    assert not SocialAccount.objects.exists()


def test_an_address_that_the_third_party_has_not_verified_is_not_confirmed_here(browser, company):
    company.person["email_verified"] = False
    come_back(browser, company)
    sign_up(browser)
    assert not EmailAddress.objects.get().verified


def test_who_is_connected_signs_in(browser, company, user):
    connected(user)
    assert come_back(browser, company)["Location"] == "/settings/"
    assert browser.session["_auth_user_id"] == str(user.pk)


def test_the_second_factor_is_asked_for_as_well(browser, company, user):
    connected(user)
    add_app(user)
    assert come_back(browser, company)["Location"] == "/accounts/sign-in/code/"
    assert not is_signed_in(browser)


def test_the_session_has_another_key_afterwards(browser, company, user):
    connected(user)
    asked = leave(browser)
    before = browser.session.session_key
    browser.get(company.agree(asked))
    assert browser.session.session_key != before


def test_a_known_address_alone_opens_no_account(browser, company, user):
    verify(user)
    company.person["email"] = user.email
    assert come_back(browser, company)["Location"] == SIGN_UP
    assert "Sign in to it with its password" in sign_up(browser, email=user.email).content.decode()
    assert not SocialAccount.objects.exists()
    assert not is_signed_in(browser)


def test_a_trusted_third_party_opens_the_account_of_an_address_confirmed_on_both_sides(browser, trusted, user):
    verify(user)
    trusted.person["email"] = user.email.upper()
    come_back(browser, trusted)
    assert browser.session["_auth_user_id"] == str(user.pk)
    assert SocialAccount.objects.get().user == user
    user.refresh_from_db()
    assert user.has_usable_password()


@pytest.mark.parametrize("verified_by", ["here", "there", "nobody"])
def test_one_side_is_not_enough(browser, trusted, user, verified_by):
    if verified_by == "here":
        verify(user)
    trusted.person |= {"email": user.email, "email_verified": verified_by == "there"}
    come_back(browser, trusted)
    assert not is_signed_in(browser)
    assert not SocialAccount.objects.exists()


def test_a_person_with_a_confirmed_address_connects_and_disconnects(at_home, company, user, mailoutbox):
    verify(user)
    assert come_back(at_home, company, "?process=connect")["Location"] == CONNECTIONS
    account = SocialAccount.objects.get()
    assert (account.user, account.uid) == (user, "77")
    at_home.post(CONNECTIONS, {"account": account.pk})
    assert not SocialAccount.objects.exists()
    assert len(mailoutbox) == 2


def test_a_person_without_a_confirmed_address_does_not_connect(at_home, company):
    answer = come_back(at_home, company, "?process=connect")
    assert answer["Location"] == "/settings/addresses/"
    assert not SocialAccount.objects.exists()
    assert "Confirm your e-mail address first" in at_home.get(answer["Location"]).content.decode()


def test_connecting_asks_for_the_password_first(browser, company, user):
    verify(user)
    sign_in(browser, user.username)
    assert come_back(browser, company, "?process=connect")["Location"].startswith("/accounts/confirm/")
    assert not SocialAccount.objects.exists()


def test_an_account_of_somebody_else_is_not_connected(at_home, company, user, stranger):
    verify(user)
    connected(stranger)
    come_back(at_home, company, "?process=connect")
    assert SocialAccount.objects.get().user == stranger


def test_nobody_disconnects_the_account_of_another(at_home, company, stranger):
    theirs = connected(stranger)
    assert at_home.post(CONNECTIONS, {"account": theirs.pk}).status_code == 200
    assert SocialAccount.objects.filter(pk=theirs.pk).exists()


def test_the_last_way_in_stays(browser, company):
    come_back(browser, company)
    sign_up(browser)
    account = SocialAccount.objects.get()
    answer = browser.post(CONNECTIONS, {"account": account.pk})
    assert "Set a password first" in answer.content.decode()
    assert SocialAccount.objects.exists()


def test_somebody_without_a_password_makes_an_api_token(browser, company, api):
    come_back(browser, company)
    sign_up(browser)
    page = browser.post("/settings/tokens/new/", {"name": "laptop", "lifetime": "7", "scopes": ["everything"]})
    clear = page.context["clear"]
    assert api().get("/v1/users/me/", HTTP_AUTHORIZATION=f"Token {clear}").json()["username"] == "mei"


def test_an_answer_that_nobody_here_has_asked_for_signs_nobody_in(browser, company, user):
    connected(user)
    attacker = Client()
    path = company.agree(leave(attacker))
    assert browser.get(path).status_code == 401
    assert not is_signed_in(browser)


def test_an_answer_works_once(company, user):
    connected(user)
    browser = Client(headers={"accept": "text/html"})
    path = company.agree(leave(browser))
    browser.get(path)
    browser.post("/accounts/sign-out/")
    assert browser.get(path).status_code == 401
    assert not is_signed_in(browser)


@pytest.mark.parametrize("part", ["/token", "/userinfo"])
def test_a_third_party_that_fails_signs_nobody_in(browser, company, user, part):
    connected(user)
    path = company.agree(leave(browser))
    company.broken.add(part)
    answer = browser.get(path)
    assert answer.status_code == 401
    assert "did not say who you are" in answer.content.decode()
    assert not is_signed_in(browser)


def test_a_third_party_that_is_away_is_told(browser, company):
    company.broken.add("/.well-known/openid-configuration")
    answer = browser.post(START)
    assert answer.status_code == 503
    assert "does not answer" in answer.content.decode()


def test_somebody_who_turns_back_is_told_that_nothing_has_changed(browser, company):
    [state] = re.findall(r"state=([^&]+)", leave(browser))
    answer = browser.get(f"{START}callback/?error=access_denied&state={state}")
    assert answer["Location"] == "/accounts/with/cancelled/"
    assert "Nothing has changed" in browser.get(answer["Location"]).content.decode()


def test_a_link_alone_starts_nothing(browser, company):
    page = browser.get(START)
    assert page.status_code == 200
    assert "Continue to Company" in page.content.decode()


@pytest.mark.parametrize("target", ["https://evil.example.com/", "//evil.example.com/"])
def test_nobody_is_sent_to_another_site_afterwards(browser, company, user, target):
    connected(user)
    assert come_back(browser, company, f"?process=login&next={target}")["Location"] == "/settings/"
