"""Whatever happens to wallets, in whatever order: entries sum to zero, no grant is over-spent, everything is charged once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from pytest_django import Settings

from controlplane.common import clock
from tests.billing.ledger_machine import LedgerMachine


@pytest.fixture
def own_clock(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    """A clock that the machine moves, and plans as a new installation has them."""
    settings.PERSONAL_PLAN, settings.ORGANIZATION_PLAN = "free", ""
    monkeypatch.setattr("billing.funding.send_task", lambda *_, **__: None)
    real = clock.now
    yield
    clock.now = real


@pytest.mark.timeout(600)
@pytest.mark.django_db
def test_the_ledger_holds_whatever_happens(own_clock: None) -> None:
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=60, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
        ),
    )
