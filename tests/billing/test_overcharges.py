"""A stop that comes to be known late: what was charged meanwhile is given back, once, to the micro-credit."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from pytest_django import Settings

from billing import checkpoints
from billing.balances import standing_of
from billing.grants import grant_credits
from billing.metering import meter, note_instance
from billing.models import BilledDeployment, GrantSource, LedgerEntry, MeteredResource, Posting, Wallet
from billing.wallets import open_wallet
from tests.billing.spending import CREDIT, INSTANCE, make_billed, run_instance
from tests.deployments.conftest import Clock

pytestmark = pytest.mark.django_db
RATE = INSTANCE[1].micro_credits


@pytest.fixture
def start(settings: Settings, moving_clock: Clock) -> datetime:
    settings.ORGANIZATION_PLAN = ""
    return moving_clock.now


@pytest.fixture
def payer(start: datetime) -> Wallet:
    """A wallet with 500 credits."""
    wallet = open_wallet(uuid4(), is_personal=False)
    grant_credits(wallet_id=wallet.pk, amount=500 * CREDIT, key="credits", source=GrantSource.OPERATOR)
    return wallet


def metered_until(moving_clock: Clock, payer: Wallet, *minutes: int) -> tuple[BilledDeployment, MeteredResource]:
    """Return an instance that was charged at the end of each of these minutes, counted from its start."""
    deployment = make_billed(payer)
    instance = run_instance(deployment)
    start = moving_clock.now
    for minute in minutes:
        moving_clock.now = start + timedelta(minutes=minute)
        meter()
    return deployment, instance


def spent(wallet: Wallet) -> int:
    return 500 * CREDIT - standing_of(wallet.pk).balance


def test_what_was_charged_after_the_stop_is_given_back_once(moving_clock: Clock, start: datetime, payer: Wallet) -> None:
    _, instance = metered_until(moving_clock, payer, 1, 2, 3)
    assert spent(payer) == 180 * RATE

    note_instance(instance.pk, ending_at=moving_clock.now, stopped_at=start + timedelta(seconds=97.6))
    meter()
    meter()

    assert spent(payer) == 97 * RATE
    back = LedgerEntry.objects.filter(kind="GRANT", reverses__isnull=False)
    assert sorted(back.values_list("amount", flat=True)) == [23 * RATE, 60 * RATE]
    assert "had stopped 23 s before" in back.get(amount=23 * RATE).reason
    instance.refresh_from_db()
    assert instance.closed_at is not None


def test_a_stop_that_is_told_after_the_account_was_closed_counts_too(moving_clock: Clock, start: datetime, payer: Wallet) -> None:
    _, instance = metered_until(moving_clock, payer, 1)
    note_instance(instance.pk, ending_at=moving_clock.now, cut_off=True)
    meter()
    instance.refresh_from_db()
    assert instance.closed_at is not None
    assert spent(payer) == 60 * RATE

    note_instance(instance.pk, stopped_at=start + timedelta(seconds=40))
    meter()

    assert spent(payer) == 40 * RATE
    instance.refresh_from_db()
    assert instance.closed_at is not None
    note_instance(instance.pk, stopped_at=start + timedelta(seconds=5))
    meter()
    assert spent(payer) == 40 * RATE


def test_what_the_platform_bore_is_not_given_back(moving_clock: Clock, start: datetime, payer: Wallet) -> None:
    _, instance = metered_until(moving_clock, payer)
    grant = payer.grants.get()
    taken = grant.amount - 45 * RATE
    type(grant).objects.filter(pk=grant.pk).update(spent=taken)
    moving_clock.advance(60)
    meter()
    assert sum(Posting.objects.filter(source=5).values_list("amount", flat=True)) == 15 * RATE

    note_instance(instance.pk, ending_at=moving_clock.now, stopped_at=start + timedelta(seconds=50))
    meter()
    assert standing_of(payer.pk).balance == 0


def test_a_stop_in_time_gives_nothing_back(moving_clock: Clock, start: datetime, payer: Wallet) -> None:
    _, instance = metered_until(moving_clock, payer, 1)
    moving_clock.advance(20)
    note_instance(instance.pk, ending_at=start + timedelta(seconds=70), stopped_at=start + timedelta(seconds=75))
    meter()

    assert spent(payer) == 75 * RATE
    assert not LedgerEntry.objects.filter(reverses__isnull=False).exists()


def test_a_stop_that_comes_to_be_known_while_the_meter_is_at_it_is_charged_up_to_the_stop(
    moving_clock: Clock, start: datetime, payer: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, instance = metered_until(moving_clock, payer, 1)
    moving_clock.now = start + timedelta(seconds=70)
    note_instance(instance.pk, ending_at=moving_clock.now)
    moving_clock.now = start + timedelta(seconds=120)

    def tell_stop(name: str) -> None:
        if name == "spans_charged":
            note_instance(instance.pk, stopped_at=start + timedelta(seconds=97))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "hook", tell_stop)
        meter()
    assert spent(payer) == 70 * RATE
    meter()
    meter()

    assert spent(payer) == 97 * RATE
    assert MeteredResource.objects.get().closed_at == moving_clock.now
