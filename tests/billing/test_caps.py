"""Spend caps: told at 50, 80 and 100 % once each, reached and opened again, and what counts towards them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from billing.caps import change_cap, reached_caps, remove_cap, review_months, set_cap, spent_of_caps
from billing.grants import correct_charge, take_back
from billing.models import BilledDeployment, FundingChange, LedgerEntry, Notice, NoticeKind, SpendCap, Wallet
from controlplane.accounts.models import User
from controlplane.audit.models import AuditEntry
from controlplane.common.errors import Conflict, InvalidInput, NotFound
from tests.billing.spending import CREDIT, make_billed, spend_credits
from tests.deployments.conftest import Clock


@pytest.fixture
def deployment(wallet: Wallet) -> BilledDeployment:
    return make_billed(wallet, "quay/belts/count")


def cap_of(payer: User, whole: int = 100, *, deployment: BilledDeployment | None = None, period: str = "MONTH") -> SpendCap:
    root = payer.namespaces.get(parent=None)
    return set_cap(
        actor=payer, namespace_id=root.pk, deployment_id=deployment.pk if deployment else None, period=period, amount=whole * CREDIT
    )


def change(payer: User, cap: SpendCap, whole: int) -> SpendCap:
    root = payer.namespaces.get(parent=None)
    return change_cap(actor=payer, namespace_id=root.pk, cap_id=cap.pk, amount=whole * CREDIT)


def told() -> list[str]:
    return list(Notice.objects.filter(kind=NoticeKind.CAP).order_by("created_at", "id").values_list("subject", flat=True))


def mails(*shares: int) -> list[str]:
    return [f"{share} % of a spend cap is used" for share in shares]


def changes() -> int:
    return FundingChange.objects.count()


def test_each_share_is_told_once(payer: User, deployment: BilledDeployment) -> None:
    cap_of(payer)

    for _ in range(12):
        spend_credits(deployment, 10)

    assert told() == mails(50, 80, 100)


def test_the_mail_of_a_cap_names_the_deployment_and_the_sums(payer: User, deployment: BilledDeployment) -> None:
    cap_of(payer, deployment=deployment)

    spend_credits(deployment, 62)

    notice = Notice.objects.get(kind=NoticeKind.CAP)
    assert notice.deployment_id == deployment.pk
    assert notice.detail == (
        "The deployment of quay/belts/count has used 62 of the 100 credits that it may use this month. "
        "At 100 % it takes no more runs, and its instances end. Raise or remove the cap if you want more."
    )


def test_a_charge_that_jumps_over_shares_tells_the_highest_alone(payer: User, deployment: BilledDeployment) -> None:
    cap_of(payer)

    spend_credits(deployment, 90)
    spend_credits(deployment, 60)

    assert told() == mails(80, 100)


def test_a_reached_cap_leaves_word_once(payer: User, deployment: BilledDeployment) -> None:
    cap = cap_of(payer)
    before = changes()

    spend_credits(deployment, 99)
    assert (changes(), reached_caps(deployment.wallet_id)) == (before, [])
    spend_credits(deployment, 1)
    spend_credits(deployment, 1)

    assert changes() == before + 1
    assert [one.pk for one in reached_caps(deployment.wallet_id)] == [cap.pk]


def test_a_cap_of_a_deployment_counts_that_one_alone(payer: User, wallet: Wallet, deployment: BilledDeployment) -> None:
    own, whole = cap_of(payer, deployment=deployment), cap_of(payer)
    spend_credits(make_billed(wallet), 70)
    spend_credits(deployment, 20)

    assert spent_of_caps([wallet.pk]) == {own.pk: 20 * CREDIT, whole.pk: 90 * CREDIT}
    assert told() == mails(50, 80)


def test_what_the_platform_bears_does_not_count(payer: User, wallet: Wallet, deployment: BilledDeployment) -> None:
    cap = cap_of(payer, 1000)

    spend_credits(deployment, 600)  # of the 500 that are there

    assert spent_of_caps([wallet.pk])[cap.pk] == 500 * CREDIT


def test_the_next_month_opens_a_cap_and_tells_again(payer: User, wallet: Wallet, deployment: BilledDeployment, moving_clock: Clock) -> None:
    cap_of(payer)
    spend_credits(deployment, 100)
    assert review_months() == 0
    assert reached_caps(wallet.pk)
    before = changes()

    moving_clock.now = datetime(2026, 4, 1, 0, 0, 30, tzinfo=UTC)

    assert review_months() == 1
    assert reached_caps(wallet.pk) == []
    assert changes() == before + 1
    assert review_months() == 0
    spend_credits(deployment, 50)
    assert told() == mails(100, 50)


def test_a_cap_in_all_stays_reached(payer: User, wallet: Wallet, deployment: BilledDeployment, moving_clock: Clock) -> None:
    cap_of(payer, period="TOTAL")
    spend_credits(deployment, 100)

    moving_clock.now = datetime(2027, 1, 1, tzinfo=UTC)

    assert review_months() == 0
    assert reached_caps(wallet.pk)
    assert told() == mails(100)


def test_usage_of_the_former_month_that_comes_late_does_not_count(payer: User, wallet: Wallet, deployment: BilledDeployment) -> None:
    cap = cap_of(payer)

    spend_credits(deployment, 100, at=datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC))

    assert spent_of_caps([wallet.pk])[cap.pk] == 0
    assert told() == []


def test_a_raised_cap_opens_at_once_and_tells_what_comes_again(payer: User, wallet: Wallet, deployment: BilledDeployment) -> None:
    cap = cap_of(payer)
    spend_credits(deployment, 100)
    before = changes()

    cap = change(payer, cap, 200)

    assert (cap.reached_at, cap.told, reached_caps(wallet.pk)) == (None, 50, [])
    assert changes() == before + 1
    assert told() == mails(100)
    spend_credits(deployment, 60)
    assert told() == mails(100, 80)


def test_a_lowered_cap_stops_at_once(payer: User, wallet: Wallet, deployment: BilledDeployment) -> None:
    cap = cap_of(payer)
    spend_credits(deployment, 30)

    cap = change(payer, cap, 30)

    assert cap.reached_at is not None
    assert told() == mails(100)


def test_the_same_amount_again_changes_nothing(payer: User, deployment: BilledDeployment) -> None:
    cap = cap_of(payer)
    spend_credits(deployment, 60)
    lines = AuditEntry.objects.count()

    change(payer, cap, 100)

    assert (told(), AuditEntry.objects.count()) == (mails(50), lines)


def test_a_cap_that_is_used_up_when_it_is_set_stops_at_once(payer: User, wallet: Wallet, deployment: BilledDeployment) -> None:
    spend_credits(deployment, 100)

    cap = cap_of(payer, 80)

    assert cap.reached_at is not None
    assert told() == mails(100)


def test_a_removed_cap_lets_things_go_on(payer: User, wallet: Wallet, deployment: BilledDeployment) -> None:
    reached, open_one = cap_of(payer), cap_of(payer, period="TOTAL", whole=1000)
    spend_credits(deployment, 100)
    before, root = changes(), payer.namespaces.get(parent=None)

    remove_cap(actor=payer, namespace_id=root.pk, cap_id=open_one.pk)
    assert changes() == before
    remove_cap(actor=payer, namespace_id=root.pk, cap_id=reached.pk)

    assert (changes(), SpendCap.objects.count()) == (before + 1, 0)


def test_a_correction_opens_a_cap(payer: User, wallet: Wallet, deployment: BilledDeployment) -> None:
    cap = cap_of(payer, deployment=deployment)
    spend_credits(deployment, 60)
    spend_credits(deployment, 40)
    assert reached_caps(wallet.pk)

    wrong = LedgerEntry.objects.filter(deployment_id=deployment.pk).latest("id")
    correct_charge(entry_id=wrong.pk, amount=30 * CREDIT, reason="The machine was broken.")

    assert spent_of_caps([wallet.pk])[cap.pk] == 70 * CREDIT
    assert reached_caps(wallet.pk) == []


def test_a_correction_of_another_deployment_or_month_opens_nothing(
    payer: User, wallet: Wallet, deployment: BilledDeployment, moving_clock: Clock
) -> None:
    cap = cap_of(payer, deployment=deployment)
    other = make_billed(wallet)
    spend_credits(other, 10)
    spend_credits(deployment, 10)
    moving_clock.now = datetime(2026, 4, 1, 1, 0, tzinfo=UTC)
    spend_credits(deployment, 10)

    for entry in LedgerEntry.objects.filter(kind="CHARGE", booked_at__lt=datetime(2026, 4, 1, tzinfo=UTC)):
        correct_charge(entry_id=entry.pk, amount=entry.amount, reason="The machine was broken.")

    assert spent_of_caps([wallet.pk])[cap.pk] == 10 * CREDIT


def test_only_one_cap_of_a_kind(payer: User, deployment: BilledDeployment) -> None:
    cap_of(payer)
    cap_of(payer, period="TOTAL")
    cap_of(payer, deployment=deployment)

    with pytest.raises(Conflict, match="Change its amount"):
        cap_of(payer)

    assert SpendCap.objects.count() == 3


@pytest.mark.parametrize("amount", [0, -1, 10**16 + 1])
def test_an_amount_that_no_cap_can_have_is_refused(payer: User, wallet: Wallet, amount: int) -> None:
    root = payer.namespaces.get(parent=None)
    with pytest.raises(InvalidInput, match="micro-credits"):
        set_cap(actor=payer, namespace_id=root.pk, deployment_id=None, period="MONTH", amount=amount)

    assert not SpendCap.objects.exists()


def test_a_cap_of_another_workspace_is_not_there(payer: User, stranger: User) -> None:
    cap = cap_of(payer)

    with pytest.raises(NotFound):
        change(stranger, cap, 1)
    with pytest.raises(NotFound):
        remove_cap(actor=stranger, namespace_id=stranger.namespaces.get(parent=None).pk, cap_id=cap.pk)

    cap.refresh_from_db()
    assert cap.amount == 100 * CREDIT


def test_what_is_done_with_caps_stands_in_the_audit_log(payer: User) -> None:
    cap = cap_of(payer)
    change(payer, cap, 200)
    remove_cap(actor=payer, namespace_id=payer.namespaces.get(parent=None).pk, cap_id=cap.pk)

    lines = AuditEntry.objects.filter(chain=payer.pk, kind="cap").order_by("sequence")
    assert [(line.action, line.actor_name) for line in lines] == [(f"cap.{verb}", payer.username) for verb in ("set", "edit", "remove")]
    assert lines[1].details["amount"] == [100 * CREDIT, 200 * CREDIT]


def test_a_correction_that_is_taken_back_counts_again(payer: User, wallet: Wallet, deployment: BilledDeployment) -> None:
    cap = cap_of(payer)
    spend_credits(deployment, 100)
    charge = LedgerEntry.objects.get(kind="CHARGE")
    given = correct_charge(entry_id=charge.pk, amount=60 * CREDIT, reason="Half of it was ours.")
    assert spent_of_caps([wallet.pk])[cap.pk] == 40 * CREDIT
    assert not reached_caps(wallet.pk)

    take_back(grant_id=given.pk, amount=60 * CREDIT, key="oops", reason="It was theirs.")

    assert spent_of_caps([wallet.pk])[cap.pk] == 100 * CREDIT
    assert [one.pk for one in reached_caps(wallet.pk)] == [cap.pk]
