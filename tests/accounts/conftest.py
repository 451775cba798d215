"""Fixtures of the tests about people in the browser."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.test import Client

from controlplane.accounts.models import User
from controlplane.accounts.throttle import PREFIX
from controlplane.common.valkey import valkey
from tests.accounts.people import Clock, sign_in


@pytest.fixture(autouse=True)
def no_tries_yet():
    """Counters are in Valkey, which no transaction rolls back."""
    cache.clear()
    for key in valkey().scan_iter(f"{PREFIX}:*"):
        valkey().delete(key)


@pytest.fixture
def browser(db: None) -> Client:
    """A browser in which nobody is signed in; forms need their CSRF token as anywhere."""
    return Client(headers={"accept": "text/html"})


@pytest.fixture
def at_home(user: User) -> Client:
    """A browser in which `user` is signed in and has confirmed a moment ago that it is them."""
    client = Client(headers={"accept": "text/html"})
    assert sign_in(client, user.username).status_code == 302
    confirm(client)
    return client


def confirm(client: Client) -> None:
    """Give the password again, as sensitive pages ask."""
    from tests.factories import PASSWORD

    assert client.post("/accounts/confirm/", {"password": PASSWORD}).status_code == 302


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of authenticator codes, which stands still until moved."""
    made = Clock()
    monkeypatch.setattr("allauth.mfa.totp.internal.auth.time", SimpleNamespace(time=lambda: made.now))
    return made


@pytest.fixture
def committed(django_capture_on_commit_callbacks) -> Callable[[], object]:
    """`with committed():` runs what waits for the commit at the end of the block."""
    return lambda: django_capture_on_commit_callbacks(execute=True)
