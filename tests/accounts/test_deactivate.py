"""Shutting somebody out."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client

from controlplane.accounts.models import ApiToken, Revocation
from controlplane.audit.models import INSTALLATION, AuditEntry
from tests.accounts.people import TOKENS, basic, is_signed_in, sign_in, verify
from tests.accounts.test_passwords import ask, opens
from tests.factories import PASSWORD, make_token

pytestmark = pytest.mark.django_db


def deactivate(username, *options):
    told = StringIO()
    call_command("deactivate", username, *options, stdout=told)
    return told.getvalue()


def test_a_person_who_is_shut_out_has_no_way_in(at_home, api, user, mailoutbox):
    clear = make_token(user)
    verify(user)
    assert deactivate(user.username.upper()) == f"{user.username} is shut out\n"
    assert not opens(api, clear)
    assert not is_signed_in(at_home)
    assert not Session.objects.filter(pk=at_home.session.session_key).exists()
    assert Revocation.objects.filter(subject=f"u/{user.pk}").exists()
    assert sign_in(Client(), user.username).status_code == 200
    assert api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD)).status_code == 401
    ask(Client(), user.email)
    assert "Reset your password" not in [mail.subject for mail in mailoutbox]


def test_nobody_else_is_shut_out(api, user, stranger):
    clear = make_token(stranger)
    deactivate(user.username)
    assert opens(api, clear)
    assert not Revocation.objects.filter(subject=f"u/{stranger.pk}").exists()


def test_it_is_on_record(user):
    make_token(user)
    deactivate(user.username)
    deactivate(user.username, "--restore")
    rows = AuditEntry.objects.filter(chain=INSTALLATION, target=str(user.pk), kind="account").order_by("sequence")
    assert [(row.action, row.actor_id, row.name) for row in rows] == [
        ("account.deactivate", None, user.username),
        ("account.restore", None, user.username),
    ]
    assert AuditEntry.objects.get(chain=user.pk, action="account.access_end").details == {
        "because": "deactivated",
        "tokens": 1,
        "sessions": 0,
    }


def test_a_restored_person_signs_in_again_and_old_tokens_stay_revoked(browser, api, user):
    clear = make_token(user)
    deactivate(user.username)
    assert "may sign in again" in deactivate(user.username, "--restore")
    assert not opens(api, clear)
    sign_in(browser, user.username)
    assert is_signed_in(browser)
    assert api().post(TOKENS, {"name": "x"}, **basic(user.username, PASSWORD)).status_code == 201


def test_an_unknown_name_is_told(db):
    with pytest.raises(CommandError, match="There is no user 'nobody-of-that-name'"):
        deactivate("nobody-of-that-name")
    assert not ApiToken.objects.exists()
