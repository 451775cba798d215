"""Every page, asked by nobody, by a person and by an operator, gives the answer that the table says."""

from __future__ import annotations

import re
import uuid

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import get_resolver, reverse

from tests.factories import make_user
from tests.permissions.test_every_route import patterns

pytestmark = pytest.mark.django_db
ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")
ARGUMENTS = {
    "key": "no-such-key",
    "uidb36": "zz",
    "provider_id": "nobody",
    "token_id": uuid.UUID(int=1),
    "mail_id": uuid.UUID(int=1),
}
SIGN_IN = "to sign in"
AWAY = "elsewhere"

# GET as: nobody, a person, an operator
PAGES: dict[str, tuple[int | str, int | str, int | str]] = {
    "home": (200, 200, 200),
    "healthz": (200, 200, 200),
    "jwks": (200, 200, 200),
    "account_login": (200, AWAY, AWAY),
    "mfa_authenticate": (SIGN_IN, AWAY, AWAY),
    "account_logout": (SIGN_IN, 200, 200),
    "account_signup": (200, AWAY, AWAY),
    "account_inactive": (200, 200, 200),
    "account_reauthenticate": (SIGN_IN, 200, 200),
    "mfa_reauthenticate": (SIGN_IN, AWAY, AWAY),
    "account_email_verification_sent": (200, 200, 200),
    "account_confirm_email": (200, 200, 200),
    "account_reset_password": (200, 200, 200),
    "account_reset_password_done": (200, 200, 200),
    "account_reset_password_from_key_done": (200, 200, 200),
    "account_reset_password_from_key": (200, 200, 200),
    "socialaccount_login_cancelled": (200, 200, 200),
    "socialaccount_login_error": (401, 401, 401),
    "socialaccount_signup": (SIGN_IN, SIGN_IN, SIGN_IN),
    "openid_connect_login": (404, 404, 404),
    "openid_connect_callback": (404, 404, 404),
    "settings": (SIGN_IN, 200, 200),
    "account_email": (SIGN_IN, 200, 200),
    "account_change_password": (SIGN_IN, 200, 200),
    "account_set_password": (SIGN_IN, AWAY, AWAY),
    "mfa_index": (SIGN_IN, 200, 200),
    "mfa_activate_totp": (SIGN_IN, AWAY, AWAY),
    "mfa_deactivate_totp": (SIGN_IN, 404, 404),
    "mfa_view_recovery_codes": (SIGN_IN, 404, 404),
    "mfa_generate_recovery_codes": (SIGN_IN, AWAY, AWAY),
    "socialaccount_connections": (SIGN_IN, 200, 200),
    "usersessions_list": (SIGN_IN, 200, 200),
    "settings_tokens": (SIGN_IN, 200, 200),
    "settings_token_new": (SIGN_IN, AWAY, AWAY),
    "settings_token_revoke": (SIGN_IN, 405, 405),
    "ops_mails": (404, 404, 200),
    "ops_mail": (404, 404, 404),
    "docs": (200, 200, 200),
}


def pages():
    """Return the paths of the routes outside of the API by name."""
    return {name: path for name, path, _ in patterns(get_resolver().url_patterns) if not path.startswith("v1/")}


def shown(answer):
    """Return the status, or where a redirect leads."""
    if answer.status_code != 302:
        return answer.status_code
    return SIGN_IN if answer["Location"].startswith(reverse("account_login")) else AWAY


def ask(name, user):
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
    arguments = {argument: ARGUMENTS[argument] for argument in ARGUMENT.findall(pages()[name])}
    return shown(client.get(reverse(name, kwargs=arguments)))


def test_every_page_has_a_row():
    assert set(PAGES) == set(pages())


@pytest.mark.parametrize("name", sorted(PAGES))
def test_each_visitor_gets_the_answer_of_the_table(name):
    person, operator = make_user(), make_user()
    get_user_model().objects.filter(pk=operator.pk).update(is_staff=True)
    operator.refresh_from_db()
    assert tuple(ask(name, user) for user in (None, person, operator)) == PAGES[name]
