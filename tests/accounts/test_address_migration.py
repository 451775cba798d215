"""Accounts that were there before addresses had rows of their own."""

from __future__ import annotations

from importlib import import_module

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps

from controlplane.accounts.models import User
from tests.accounts.people import sign_in
from tests.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
MIGRATION = import_module("controlplane.accounts.migrations.0004_email_addresses")


def test_each_gets_one_row_in_lower_case_however_many_there_are(monkeypatch, browser):
    monkeypatch.setattr(MIGRATION, "BATCH", 2)
    kept = make_user("kept")
    for number in range(5):
        User.objects.create_user(f"old{number}", f"Old{number}@Example.com", PASSWORD)
    User.objects.filter(username="old0").update(email="OLD0@EXAMPLE.com")
    for _ in range(2):
        MIGRATION.keep_addresses(apps, None)
    assert EmailAddress.objects.count() == User.objects.count() == 6
    assert EmailAddress.objects.filter(user=kept).count() == 1
    old = User.objects.get(username="old0")
    assert (old.email, EmailAddress.objects.get(user=old).email) == ("old0@example.com", "old0@example.com")
    assert not EmailAddress.objects.filter(verified=True).exists()
    assert sign_in(browser, "Old0@example.com").status_code == 302
