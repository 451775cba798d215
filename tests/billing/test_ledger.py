"""The ledger's rules one by one: append-only, earliest expiry first, once by key whoever asks at once, corrections that append."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from billing.balances import balance_at, standing_of
from billing.charging import Charge, charge
from billing.errors import KeyReused
from billing.grants import correct_charge, grant_credits, take_back
from billing.models import BilledDeployment, BilledSpan, DailySpend, Grant, GrantSource, LedgerEntry, MeteredResource, Posting, Unit, Wallet
from billing.prices import price_ids
from billing.pricing import Price, credits_text
from billing.pricing import Unit as PriceUnit
from billing.wallets import open_wallet
from controlplane.common import clock
from controlplane.common.errors import Conflict, InvalidInput
from controlplane.common.ids import uuid7
from deployments.models import UsageEvent
from deployments.reports import Report
from deployments.usage import write

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
RATE = Price(4770, PriceUnit.SECOND)


@pytest.fixture(autouse=True)
def at_noon(monkeypatch: pytest.MonkeyPatch, settings: object) -> None:
    """It is noon, nobody gets a plan, and hints go nowhere."""
    settings.PERSONAL_PLAN = settings.ORGANIZATION_PLAN = ""  # type: ignore[attr-defined]
    monkeypatch.setattr(clock, "now", lambda: NOON)
    monkeypatch.setattr("billing.funding.send_task", lambda *_, **__: None)


@pytest.fixture
def wallet(db: None) -> Wallet:
    return open_wallet(uuid4(), is_personal=True)


def grant(wallet: Wallet, amount: int, *, days: int | None = None, **more: object) -> Grant:
    ends = {} if days is None else {"expires_at": NOON + timedelta(days=days)}
    told = {"key": str(uuid4()), "source": GrantSource.OPERATOR, **ends, **more}
    return grant_credits(wallet_id=wallet.pk, amount=amount, **told)  # type: ignore[arg-type]


def use(wallet: Wallet, seconds: int, *, at: datetime = NOON) -> LedgerEntry:
    """Charge seconds of an instance."""
    key = str(uuid4())
    price = price_ids([("AWS CLUSTER XS", RATE)])["AWS CLUSTER XS", RATE]
    charge([Charge(key, wallet.pk, uuid4(), price, seconds, seconds * RATE.micro_credits, at, at + timedelta(seconds=seconds))])
    return LedgerEntry.objects.get(key=key)


def at_once(times: int, work: Callable[[], object]) -> list[object]:
    """Do something many times at the same time; return what came of each."""

    def done(_: int) -> object:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        return list(pool.map(done, range(times)))


@pytest.mark.parametrize("table", ["billing_ledgerentry", "billing_posting"])
@pytest.mark.parametrize("change", ["UPDATE {} SET amount = amount + 1", "DELETE FROM {}"])
def test_nobody_changes_what_was_booked(wallet: Wallet, table: str, change: str) -> None:
    grant(wallet, 100)

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change.format(table))

    assert Posting.objects.get().amount == 100


def test_the_earliest_expiry_is_spent_first(wallet: Wallet) -> None:
    late, soon, never = grant(wallet, 4770 * 10, days=30), grant(wallet, 4770 * 3 + 1, days=2), grant(wallet, 4770 * 100)

    entry = use(wallet, 20)

    assert dict(Posting.objects.filter(entry=entry).values_list("grant_id", "amount")) == {
        soon.pk: 4770 * 3 + 1,
        late.pk: 4770 * 10,
        never.pk: 4770 * 7 - 1,
    }


def test_what_expired_cannot_be_spent_and_nobody_goes_below_zero(wallet: Wallet) -> None:
    grant(wallet, 4770 * 10, days=1)

    entry = use(wallet, 5, at=NOON + timedelta(days=2))

    posting = Posting.objects.get(entry=entry)
    assert (posting.grant_id, posting.get_source_display(), posting.amount) == (None, "borne by the platform", 5 * 4770)
    assert (balance_at(wallet.pk, NOON), balance_at(wallet.pk, NOON + timedelta(days=1))) == (4770 * 10, 0)
    assert DailySpend.objects.get().written_off == 5 * 4770


def test_what_is_left_at_the_expiry_goes_to_breakage(wallet: Wallet) -> None:
    grant(wallet, 4770 * 10, days=1)
    use(wallet, 4)

    with connection.cursor() as cursor:
        cursor.execute("SELECT account, sum(amount)::bigint FROM billing_leg GROUP BY account ORDER BY account")
        sums = dict(cursor.fetchall())

    assert sums == {1: 0, 2: 4 * 4770, 3: -10 * 4770, 4: 6 * 4770}


def test_a_grant_counts_from_its_start(wallet: Wallet) -> None:
    grant(wallet, 100, starts_at=NOON + timedelta(hours=2))

    assert standing_of(wallet.pk).balance == 0
    assert (balance_at(wallet.pk, NOON), balance_at(wallet.pk, NOON + timedelta(hours=2))) == (0, 100)


def test_the_same_key_is_one_grant_and_another_amount_is_refused(wallet: Wallet) -> None:
    first = grant(wallet, 100, key="june")

    assert grant(wallet, 100, key="june") == first
    with pytest.raises(KeyReused):
        grant(wallet, 101, key="june")

    assert standing_of(wallet.pk).balance == 100
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize("amount", [0, -1, 10**17])
def test_amounts_that_are_none_are_refused(wallet: Wallet, amount: int) -> None:
    with pytest.raises(InvalidInput):
        grant(wallet, amount)

    assert not Grant.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_fifty_identical_grants_at_once_one_is_made() -> None:
    wallet = open_wallet(uuid4(), is_personal=True)

    made = at_once(50, lambda: grant(wallet, 100, key="once").pk)

    assert len(set(made)) == 1
    assert (Grant.objects.count(), LedgerEntry.objects.count(), standing_of(wallet.pk).balance) == (1, 1, 100)


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_reported_fifty_times_at_once_is_one_entry() -> None:
    wallet = open_wallet(uuid4(), is_personal=True)
    grant(wallet, 10**9)
    pk = uuid4()
    BilledDeployment.objects.create(deployment_id=pk, wallet=wallet, project_id=uuid4(), label="a/b", offer="AWS FRANCE SERVERLESS S")
    ids = [str(uuid7()), *[str(pk)] * 4]
    run = Report(*ids, "AWS SERVERLESS S", "SUCCESS", 9, int(NOON.timestamp() * 1000), 9 * 829, None, False)  # type: ignore[arg-type, call-arg]

    at_once(50, lambda: write([(run, (b"1-0", {}))], []))

    assert UsageEvent.objects.count() == 1
    assert LedgerEntry.objects.filter(kind="CHARGE").count() == 1
    assert standing_of(wallet.pk).balance == 10**9 - 9 * 829


@pytest.mark.django_db(transaction=True)
def test_charges_at_once_never_spend_a_grant_twice() -> None:
    wallet = open_wallet(uuid4(), is_personal=True)
    grant(wallet, 4770 * 30)

    at_once(50, lambda: use(wallet, 1).pk)

    assert Grant.objects.get().spent == 4770 * 30
    assert sum(Posting.objects.filter(source=5).values_list("amount", flat=True)) == 4770 * 20


def test_a_second_that_was_charged_cannot_be_charged_again(wallet: Wallet) -> None:
    price = price_ids([("AWS CLUSTER XS", RATE)])["AWS CLUSTER XS", RATE]
    resource = MeteredResource.objects.create(pk=uuid7(), wallet=wallet, deployment_id=uuid4(), price_id=price)
    BilledSpan.objects.create(resource=resource, span=(NOON, NOON + timedelta(seconds=60)))

    with pytest.raises(IntegrityError, match="billed_once"), transaction.atomic():
        BilledSpan.objects.create(resource=resource, span=(NOON + timedelta(seconds=59), NOON + timedelta(seconds=90)))

    BilledSpan.objects.create(resource=resource, span=(NOON + timedelta(seconds=60), NOON + timedelta(seconds=90)))


def test_a_correction_gives_back_what_was_paid_as_another_grant(wallet: Wallet) -> None:
    paid = grant(wallet, 4770 * 10, days=2)
    entry = use(wallet, 15)

    with pytest.raises(InvalidInput, match=r"at most 0\.0477 credits"):
        correct_charge(entry_id=entry.pk, amount=entry.amount, reason="it was slow")
    given = correct_charge(entry_id=entry.pk, amount=4770 * 10, reason="it was slow")

    paid.refresh_from_db()
    assert (paid.spent, given.source, given.expires_at) == (4770 * 10, GrantSource.CORRECTION, NOON + timedelta(days=30))
    assert standing_of(wallet.pk).balance == 4770 * 10
    assert LedgerEntry.objects.get(reverses=entry).reason == "it was slow"
    with pytest.raises(Conflict, match="corrected before"):
        correct_charge(entry_id=entry.pk, amount=1, reason="again")


def test_what_was_granted_by_mistake_is_taken_back_as_far_as_it_is_left(wallet: Wallet) -> None:
    made = grant(wallet, 4770 * 10)
    use(wallet, 4)

    with pytest.raises(Conflict, match=r"0\.02862 credits are left"):
        take_back(grant_id=made.pk, amount=4770 * 7, key="mistake", reason="wrong workspace")
    take_back(grant_id=made.pk, amount=4770 * 6, key="mistake", reason="wrong workspace")
    take_back(grant_id=made.pk, amount=4770 * 6, key="mistake", reason="wrong workspace")

    assert (standing_of(wallet.pk).balance, balance_at(wallet.pk, NOON)) == (0, 0)


def test_free_runs_are_taken_before_credits_and_one_by_one(wallet: Wallet) -> None:
    grant(wallet, 2, unit=Unit.HIT)
    grant(wallet, 10**9)
    pk = uuid4()
    BilledDeployment.objects.create(deployment_id=pk, wallet=wallet, project_id=uuid4(), label="a/b", offer="AWS FRANCE SERVERLESS S")
    reports = []
    for duration in (5, 50, 500):
        ids = [str(uuid7(now_ms=1_700_000_000_000 + duration)), *[str(pk)] * 4]
        reports.append(Report(*ids, "AWS SERVERLESS S", "SUCCESS", duration, int(NOON.timestamp() * 1000), duration * 829, None, False))  # type: ignore[arg-type, call-arg]

    write([(one, (b"1-0", {})) for one in reports], [])
    write([(one, (b"1-0", {})) for one in reports], [])

    found = standing_of(wallet.pk)
    assert (found.hits, found.balance) == (0, 10**9 - 500 * 829)
    hits = LedgerEntry.objects.filter(postings__unit=Unit.HIT, kind="CHARGE")
    assert sorted(hits.values_list("amount", "quantity")) == [(1, 5), (1, 50)]


@pytest.mark.parametrize(
    ("micro", "text"), [(0, "0"), (1, "0.000001"), (4770, "0.00477"), (1_234_500_000, "1,234.5"), (-2_000_000, "-2"), (10**6, "1")]
)
def test_credits_are_written_exactly(micro: int, text: str) -> None:
    assert credits_text(micro) == text
