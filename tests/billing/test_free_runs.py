"""Free runs of a plan pay for runs, one each, while they are valid; for nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from billing.balances import standing_of
from billing.grants import grant_credits
from billing.models import Account, FundingChange, GrantSource, LedgerEntry, Posting, Unit
from billing.runs import RunsUsed, charge_runs, lock_payers
from billing.wallets import open_wallet
from controlplane.common.ids import uuid7
from tests.billing.spending import SERVERLESS, make_billed
from tests.deployments.conftest import Clock

pytestmark = pytest.mark.django_db


def test_free_runs_pay_only_while_they_are_valid(settings: Settings, moving_clock: Clock) -> None:
    settings.ORGANIZATION_PLAN = ""
    wallet = open_wallet(uuid4(), is_personal=False)
    deployment = make_billed(wallet)
    noon = moving_clock.now.replace(hour=12)
    told: Any = {"wallet_id": wallet.pk, "source": GrantSource.PLAN}
    grant_credits(amount=2, key="old", unit=Unit.HIT, starts_at=noon, expires_at=noon + timedelta(hours=1), **told)
    grant_credits(amount=3, key="new", unit=Unit.HIT, starts_at=noon + timedelta(minutes=30), expires_at=noon + timedelta(hours=2), **told)
    grant_credits(amount=10**9, key="credits", starts_at=noon, **told)
    moving_clock.now = noon + timedelta(hours=3)
    product, rate = SERVERLESS
    used = [
        RunsUsed(deployment.pk, product, rate, noon + timedelta(minutes=at), 1, 1000, str(uuid7())) for at in (1, 2, 3, 40, 50, 120, 150)
    ]

    charge_runs(used, one_by_one={deployment.pk})

    # Two of the first grant, though the second one was not there yet; when that is over, what is left of it pays for nothing.
    free, paid = [Unit.HIT], [Unit.MICRO_CREDIT]
    units = LedgerEntry.objects.filter(kind="CHARGE").order_by("booked_at").values_list("postings__unit", flat=True)
    assert list(units) == 2 * free + paid + 2 * free + 2 * paid
    assert not Posting.objects.filter(source=Account.WRITE_OFF).exists()
    found = standing_of(wallet.pk)
    assert (found.hits, found.balance) == (0, 10**9 - 3 * 1000 * rate.micro_credits)


def test_who_has_used_all_free_runs_up_is_charged_like_everybody(settings: Settings, moving_clock: Clock) -> None:
    settings.ORGANIZATION_PLAN = ""
    wallet = open_wallet(uuid4(), is_personal=False)
    deployment = make_billed(wallet)
    told: Any = {"wallet_id": wallet.pk, "source": GrantSource.PLAN, "starts_at": moving_clock.now - timedelta(days=1)}
    grant_credits(amount=1, key="hits", unit=Unit.HIT, **told)
    grant_credits(amount=10**9, key="credits", **told)
    product, rate = SERVERLESS
    asked: Any = {"first": moving_clock.now, "last": moving_clock.now}

    assert lock_payers([str(deployment.pk)], **asked).one_by_one == {str(deployment.pk)}
    charge_runs([RunsUsed(deployment.pk, product, rate, moving_clock.now, 1, 1000, str(uuid7()))], one_by_one={deployment.pk})

    assert lock_payers([str(deployment.pk)], **asked).at_once == {str(deployment.pk)}


def test_free_runs_that_expired_unused_keep_nobody_waiting(settings: Settings, moving_clock: Clock) -> None:
    settings.ORGANIZATION_PLAN = ""
    wallet = open_wallet(uuid4(), is_personal=False)
    deployment = make_billed(wallet)
    noon = moving_clock.now.replace(hour=12)
    told: Any = {"wallet_id": wallet.pk, "source": GrantSource.PLAN, "unit": Unit.HIT}
    grant_credits(amount=5, key="over", starts_at=noon - timedelta(hours=2), expires_at=noon - timedelta(hours=1), **told)
    grant_credits(amount=1, key="hits", starts_at=noon - timedelta(hours=2), **told)
    moving_clock.now = noon
    FundingChange.objects.all().delete()
    product, rate = SERVERLESS

    charge_runs([RunsUsed(deployment.pk, product, rate, noon, 1, 1000, str(uuid7()))], one_by_one={deployment.pk})

    assert FundingChange.objects.filter(wallet=wallet).exists(), "the gateways hear that it was the last one"
    assert lock_payers([str(deployment.pk)], first=noon, last=noon).at_once == {str(deployment.pk)}
