"""SOCIAL_PROVIDERS of the environment."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import ImproperlyConfigured

from controlplane.accounts.providers import GENERIC, PACKAGE, social_settings

GITHUB = {"provider": "github", "client_id": "a", "secret": "b"}
COMPANY = {**GITHUB, "provider": GENERIC, "id": "company", "name": "Company", "server_url": "https://id.example.com/"}


def read(*entries):
    return social_settings(json.dumps(entries))


def test_without_any_only_the_generic_one_is_installed_and_knows_nobody():
    for text in ("", " ", "[]"):
        assert social_settings(text) == ([f"{PACKAGE}.{GENERIC}"], {})


def test_each_entry_becomes_an_app_with_pkce():
    found = read(GITHUB, COMPANY, {**COMPANY, "id": "other"}, {**GITHUB, "provider": "gitlab", "server_url": "https://git.example.com"})
    assert found.apps == [f"{PACKAGE}.{name}" for name in ("github", "gitlab", GENERIC)]
    assert found.providers["gitlab"]["APPS"][0]["settings"]["gitlab_url"] == "https://git.example.com"
    assert [app["provider_id"] for app in found.providers[GENERIC]["APPS"]] == ["company", "other"]
    assert all(provider["OAUTH_PKCE_ENABLED"] for provider in found.providers.values())


def test_an_address_is_trusted_only_where_it_is_said_so():
    trust = [
        read({**GITHUB, **more}).providers["github"]["APPS"][0]["settings"]["email_authentication"] for more in ({}, {"trust_email": True})
    ]
    assert trust == [False, True]
    assert read({**GITHUB, "trust_email": "no"}).providers["github"]["APPS"][0]["settings"]["email_authentication"] is False


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"provider": "github"}, "client_id, secret is missing"),
        ({**GITHUB, "secrets": "x"}, "secrets is not known"),
        ({**GITHUB, "provider": "nowhere"}, "'nowhere' is not known"),
        ({**GITHUB, "provider": "../x"}, "is not known"),
        ({**GITHUB, "provider": "base"}, "is not known"),
        ({**GITHUB, "provider": "oauth2"}, "is not known"),
        ({**GITHUB, "provider": "openid"}, "is not known"),
        ({**GITHUB, "server_url": "https://x"}, "has its own server"),
        ({**COMPANY, "server_url": "http://id.example.com"}, "begins with https"),
        ({**COMPANY, "server_url": "ftp://localhost"}, "begins with https"),
        ({**COMPANY, "id": "Company/.."}, "needs 'id'"),
        ({**COMPANY, "name": ""}, "needs 'id'"),
        ({**COMPANY, "server_url": ""}, "needs 'id'"),
    ],
)
def test_an_entry_that_will_not_do_stops_the_start_and_is_named(entry, words):
    with pytest.raises(ImproperlyConfigured, match=f"entry 2: .*{words}"):
        read({**GITHUB, "provider": "google"}, entry)


@pytest.mark.parametrize("entries", [(GITHUB, GITHUB), (COMPANY, COMPANY)])
def test_nothing_is_there_twice(entries):
    with pytest.raises(ImproperlyConfigured, match="twice"):
        read(*entries)


@pytest.mark.parametrize("text", ["{", '{"provider": "github"}', '["github"]', "3"])
def test_what_is_no_list_of_objects_is_refused(text):
    with pytest.raises(ImproperlyConfigured, match="SOCIAL_PROVIDERS"):
        social_settings(text)


def test_a_refusal_tells_no_secret():
    with pytest.raises(ImproperlyConfigured) as refusal:
        read({**GITHUB, "secret": "between us", "provider": "nowhere"})
    assert "between us" not in str(refusal.value)
