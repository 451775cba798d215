"""What happens by itself each minute: periods, ends of grants and of grace, months of caps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError

from billing import tasks
from billing.balances import standing_of
from billing.caps import reached_caps, set_cap
from billing.models import Funding, Notice, Wallet
from billing.tasks import mail_notices_task, review_times_task
from controlplane.accounts.models import User
from tests.billing.spending import CREDIT, make_billed, spend_credits
from tests.deployments.conftest import Clock


def test_a_new_month_brings_credits_and_opens_what_the_former_one_closed(payer: User, wallet: Wallet, moving_clock: Clock) -> None:
    root = payer.namespaces.get(parent=None)
    set_cap(actor=payer, namespace_id=root.pk, deployment_id=None, period="MONTH", amount=400 * CREDIT)
    spend_credits(make_billed(wallet), 500)
    wallet.refresh_from_db()
    assert (wallet.funding, len(reached_caps(wallet.pk))) == (Funding.GRACE, 1)

    moving_clock.advance(15 * 60)
    review_times_task()
    wallet.refresh_from_db()
    assert wallet.funding == Funding.EXHAUSTED

    moving_clock.now = datetime(2026, 4, 2, 9, 0, 10, tzinfo=UTC)
    review_times_task()
    wallet.refresh_from_db()
    assert (wallet.funding, standing_of(wallet.pk).balance, reached_caps(wallet.pk)) == (Funding.FUNDED, 500 * CREDIT, [])
    review_times_task()
    assert standing_of(wallet.pk).balance == 500 * CREDIT


def test_what_a_workspace_has_left_ends_with_its_period(wallet: Wallet, moving_clock: Clock) -> None:
    spend_credits(make_billed(wallet), 100)

    moving_clock.now += timedelta(days=31, minutes=1)
    review_times_task()

    assert standing_of(wallet.pk).balance == 500 * CREDIT


def test_one_look_that_fails_keeps_no_other_from_its_turn(wallet: Wallet, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def renew_due() -> int:
        raise OperationalError("gone")

    spend_credits(make_billed(wallet), 500)
    monkeypatch.setattr(tasks, "renew_due", renew_due)
    moving_clock.advance(16 * 60)

    review_times_task()

    wallet.refresh_from_db()
    assert wallet.funding == Funding.EXHAUSTED


def test_a_database_that_is_away_is_no_crash_of_the_mails(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def mail_notices() -> int:
        raise OperationalError("gone")

    monkeypatch.setattr(tasks, "mail_notices", mail_notices)

    mail_notices_task()

    assert not Notice.objects.exists()
