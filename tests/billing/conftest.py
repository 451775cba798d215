"""Fixtures of billing: the time, and a workspace on the free plan."""

from __future__ import annotations

from typing import Any

import pytest

from billing.models import Wallet
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.common import clock
from tests.deployments.conftest import Clock
from tests.factories import make_user


@pytest.fixture
def moving_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test moves; it begins on Monday, 2 March 2026, 09:00 UTC."""
    made = Clock()
    monkeypatch.setattr(clock, "now", lambda: made.now)
    monkeypatch.setattr("django.utils.timezone.now", lambda: made.now)
    return made


@pytest.fixture
def free_plan(settings: Any) -> None:
    """New workspaces of people get the free plan: 500 credits a month."""
    settings.PERSONAL_PLAN = "free"


@pytest.fixture
def payer(db: None, moving_clock: Clock, free_plan: None) -> User:
    """A person with 500 credits."""
    return make_user()


@pytest.fixture
def wallet(payer: User) -> Wallet:
    """Their wallet."""
    return wallet_of(payer.namespaces.get(parent=None))
