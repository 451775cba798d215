"""What operators do to the credits of a workspace, on the command line."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from billing.balances import standing_of
from billing.models import EntryKind, Grant, GrantSource, LedgerEntry, Wallet
from billing.models.ledger import FOR_EVER
from controlplane.accounts.models import User
from controlplane.audit.models import AuditEntry
from tests.billing.spending import make_billed, spend
from tests.deployments.conftest import Clock

pytestmark = pytest.mark.django_db
CREDIT = 1_000_000


def run(*words: Any) -> None:
    call_command(*(str(word) for word in words))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.strip()


def lines(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action))


def granted() -> Grant:
    return Grant.objects.get(source=GrantSource.OPERATOR)


def test_credits_are_granted_for_months_and_told(payer: User, wallet: Wallet, moving_clock: Clock, capsys: Any) -> None:
    run("grant_credits", payer.username, "1,000.25", "--reason", "agreement 12", "--months", 6, "--key", "a12")

    grant = granted()
    assert (grant.amount, f"{grant.expires_at:%Y-%m-%d %H:%M}", grant.reason) == (1_000_250_000, "2026-09-02 09:00", "agreement 12")
    assert standing_of(wallet.pk).balance == 1500 * CREDIT + 250_000
    assert said(capsys) == (
        f"{payer.username} got 1,000.25 credits, valid until 2026-09-02 09:00 UTC. It has 1,500.25 credits now. Grant {grant.pk}, key a12."
    )
    [line] = lines("credits.grant")
    assert (line.chain, line.target, line.name, line.details["credits"]) == (payer.pk, str(wallet.pk), payer.username, "1,000.25")
    assert (line.details["reason"], line.details["key"]) == ("agreement 12", "a12")


def test_the_same_key_grants_once_also_later(payer: User, wallet: Wallet, moving_clock: Clock, capsys: Any) -> None:
    for _ in range(2):
        run("grant_credits", payer.username, 50, "--reason", "sorry", "--months", 1, "--key", "k1")
        moving_clock.advance(3600)

    assert "Nothing changed: with this key" in said(capsys)
    assert standing_of(wallet.pk).balance == 550 * CREDIT
    assert len(lines("credits.grant")) == 1


def test_without_a_key_each_grant_is_another_one(payer: User, wallet: Wallet) -> None:
    for _ in range(2):
        run("grant_credits", payer.username, 50, "--reason", "sorry")

    assert standing_of(wallet.pk).balance == 600 * CREDIT
    assert set(Grant.objects.filter(source=GrantSource.OPERATOR).values_list("expires_at", flat=True)) == {FOR_EVER}


def test_a_key_is_not_used_for_another_amount(payer: User, wallet: Wallet) -> None:
    run("grant_credits", payer.username, 50, "--reason", "sorry", "--key", "k1")

    with pytest.raises(CommandError, match="exists with another amount"):
        run("grant_credits", payer.username, 51, "--reason", "sorry", "--key", "k1")

    assert standing_of(wallet.pk).balance == 550 * CREDIT
    assert len(lines("credits.grant")) == 1


def test_credits_can_end_on_a_day(payer: User, wallet: Wallet) -> None:
    run("grant_credits", payer.username, 50, "--reason", "fair", "--expires", "2026-04-01")

    assert f"{granted().expires_at:%Y-%m-%d %H:%M %Z}" == "2026-04-01 00:00 UTC"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nobody", "50"], "There is no workspace 'nobody'"),
        (["{user}", "50.0000001"], "at most 6 decimals"),
        (["{user}", "0"], "more than 0"),
        (["{user}", "-5"], "no amount of credits|required"),
        (["{user}", "50", "--expires", "soon"], "no date"),
        (["{user}", "50", "--expires", "2026-13-01"], "no date"),
        (["{user}", "50", "--expires", "2020-01-01"], "over before it begins"),
        (["{user}", "50", "--months", "0"], "1 to 1200"),
        (["{user}", "99,999,999,999,999"], "at most"),
    ],
)
def test_what_cannot_be_granted_is_refused(payer: User, wallet: Wallet, words: list[str], sentence: str) -> None:
    before = (LedgerEntry.objects.count(), AuditEntry.objects.count(), Wallet.objects.count())

    with pytest.raises(CommandError, match=sentence):
        run("grant_credits", *(word.format(user=payer.username) for word in words), "--reason", "slip")

    assert (LedgerEntry.objects.count(), AuditEntry.objects.count(), Wallet.objects.count()) == before


def test_a_reason_is_needed(payer: User) -> None:
    with pytest.raises(CommandError, match="--reason"):
        run("grant_credits", payer.username, 50)


def test_a_grant_is_taken_back_by_its_key_once(payer: User, wallet: Wallet, capsys: Any) -> None:
    run("grant_credits", payer.username, 50, "--reason", "twice", "--key", "k1")
    said(capsys)

    for _ in range(2):
        run("take_back_credits", "k1", "20.5", "--reason", "granted twice", "--key", "back1")

    first, again = said(capsys).splitlines()
    assert first == f"20.5 credits were taken back from {payer.username}. Of the grant 29.5 credits are left. Key back1."
    assert again.startswith("Nothing changed: with this key 20.5 credits were taken back before.")
    assert standing_of(wallet.pk).balance == 529_500_000
    [line] = lines("credits.take_back")
    assert (line.chain, line.details["credits"], line.details["reason"]) == (payer.pk, "20.5", "granted twice")


def test_no_more_is_taken_back_than_is_left(payer: User, wallet: Wallet) -> None:
    run("grant_credits", payer.username, 50, "--reason", "twice")
    grant = granted()

    with pytest.raises(CommandError, match="Take back at most so many"):
        run("take_back_credits", grant.pk, "50.000001", "--reason", "slip")
    with pytest.raises(CommandError, match="There is no grant 'k9'"):
        run("take_back_credits", "k9", "1", "--reason", "slip")

    assert standing_of(wallet.pk).balance == 550 * CREDIT
    assert not lines("credits.take_back")


def test_a_key_of_taking_back_is_not_used_for_another_amount(payer: User, wallet: Wallet) -> None:
    run("grant_credits", payer.username, 50, "--reason", "twice", "--key", "k1")
    run("take_back_credits", "k1", 10, "--reason", "slip", "--key", "b1")

    with pytest.raises(CommandError, match="was used to take back 10 credits"):
        run("take_back_credits", "k1", 11, "--reason", "slip", "--key", "b1")

    assert standing_of(wallet.pk).balance == 540 * CREDIT


def test_a_charge_is_corrected_once(payer: User, wallet: Wallet, capsys: Any) -> None:
    spend(make_billed(wallet), 3600)
    charge = LedgerEntry.objects.get(kind=EntryKind.CHARGE)

    for _ in range(2):
        run("correct_charge", charge.pk, "17.172", "--reason", "outage")

    first, again = said(capsys).splitlines()
    assert first.startswith(f"{payer.username} got 17.172 credits of charge {charge.pk} back, valid until 2026-04-02")
    assert again.startswith(f"Nothing changed: 17.172 credits of charge {charge.pk} were given back before.")
    assert standing_of(wallet.pk).balance == 500 * CREDIT
    assert len(lines("credits.correct")) == 1
    with pytest.raises(CommandError, match="was corrected before"):
        run("correct_charge", charge.pk, "1", "--reason", "slip")


def test_only_charges_are_corrected_and_by_no_more_than_was_paid(payer: User, wallet: Wallet) -> None:
    spend(make_billed(wallet), 3600)
    charge, grant = LedgerEntry.objects.get(kind=EntryKind.CHARGE), LedgerEntry.objects.get(kind=EntryKind.GRANT)

    refused = ((charge.pk, "17.172001", "at most 17.172 credits"), (grant.pk, "1", "is no charge"), (10**9, "1", "There is no entry"))
    for entry, amount, sentence in refused:
        with pytest.raises(CommandError, match=sentence):
            run("correct_charge", entry, amount, "--reason", "slip")

    assert LedgerEntry.objects.count() == 2
    assert not lines("credits.correct")
