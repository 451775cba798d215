"""docs/billing.md keeps its word: its bill is made with the product's own meter, and its questions are asked."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from billing.balances import balance_at
from billing.caps import SHARES
from billing.exports import CHARGE_COLUMNS
from billing.grants import correct_charge, grant_credits
from billing.metering import meter, note_instance, register_instance
from billing.models import Grant, GrantSource, LedgerEntry, Wallet
from billing.notices import PAUSES
from billing.prices import price_ids
from billing.pricing import credits_text
from billing.runs import RunsUsed, charge_runs
from billing.selectors_charges import Wanted, charges_of, lines_of
from controlplane.common.ids import uuid7
from controlplane.embedded.options import REPOSITORY
from deployments.offers import find_product
from tests.billing.spending import CREDIT, make_billed
from tests.deployments.conftest import Clock

PAGE = (REPOSITORY / "docs" / "billing.md").read_text()


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-03-02T{text}").replace(tzinfo=UTC)


def table(header: str) -> list[list[str]]:
    """Return the rows of the table whose header begins like this."""
    _, _, rest = PAGE.partition(f"| {header} |")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.fixture
def bill(wallet: Wallet, moving_clock: Clock) -> Wallet:
    """Live through the day of the page."""
    deployment = make_billed(wallet)
    moving_clock.now = at("09:05")
    grant_credits(wallet_id=wallet.pk, amount=20 * CREDIT, key="trial", source=GrantSource.OPERATOR, expires_at=at("10:00"), reason="Trial")
    run(deployment, "09:10", [1204, 16_000, 796])
    instance = uuid7()
    price = price_ids([product("AWS CLUSTER XS")])[product("AWS CLUSTER XS")]
    register_instance(resource_id=instance, wallet_id=wallet.pk, deployment_id=deployment.pk, price_id=price)
    note_instance(instance, started_at=at("09:58:30"), billable=True)
    for look in ("09:59:30", "10:00:30", "10:01:30"):
        moving_clock.now = at(look)
        if look == "10:01:30":
            note_instance(instance, stopped_at=at("10:01:12"))
        meter()
    moving_clock.now = at("10:05")
    wrong = LedgerEntry.objects.get(booked_at=at("10:00"))
    correct_charge(entry_id=wrong.pk, amount=wrong.amount, reason="Correction")
    moving_clock.now = at("11:01")
    run(deployment, "11:00", [700_000])
    return wallet


def product(name: str) -> Any:
    offer = find_product(name)
    assert offer is not None
    return name, offer.price


def run(deployment: Any, minute: str, milliseconds: list[int]) -> None:
    name, rate = product("AWS SERVERLESS S")
    told = {"product": name, "rate": rate, "minute": at(minute), "first": minute}
    charge_runs([RunsUsed(deployment_id=deployment.pk, runs=len(milliseconds), milliseconds=sum(milliseconds), **told)])


def test_the_bill_of_the_page_is_the_one_that_is_written(bill: Wallet) -> None:
    names = {grant.pk: grant.reason.partition(",")[0] for grant in Grant.objects.filter(wallet=bill)}
    lines = lines_of(list(charges_of(bill.pk, Wanted()).order_by("booked_at")))

    assert [cells(line, names) for line in lines] == table("From")


def cells(line: dict[str, Any], names: dict[Any, str]) -> list[str]:
    used = ", ".join(f"{names[one['grant']]} {credits_text(one['micro_credits'])}" for one in line["grants"])
    times = [f"{line[name]:%H:%M:%S}" for name in ("from", "to")]
    return [*times, line["price"]["code"], line["sum"], used, credits_text(line["written_off"])]


def test_the_balances_of_the_page_are_those_of_the_ledger(bill: Wallet) -> None:
    rows = table("At")

    assert [[moment, credits_text(balance_at(bill.pk, at(moment)))] for moment, *_ in rows] == [row[:2] for row in rows]


def test_the_questions_of_the_page_find_nothing_wrong_and_the_balance(bill: Wallet, moving_clock: Clock) -> None:
    *checks, balance = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)

    with connection.cursor() as cursor:
        for question in checks:
            cursor.execute(question)
            assert cursor.fetchall() == [], question
        cursor.execute(balance.replace("now()", "'2026-03-02T10:04:00Z'"))
        assert [(wallet, int(sum_)) for wallet, sum_ in cursor.fetchall()] == [(bill.pk, 499_656_560)]
    assert len(checks) == 4


@pytest.mark.parametrize(
    ("number", "broken"),
    [
        (0, ""),
        (1, "UPDATE billing_ledgerentry SET amount = amount + 1 WHERE kind = 'CHARGE'"),
        (2, "UPDATE billing_grant SET spent = spent - 1 WHERE spent > 0"),
        (3, "UPDATE billing_dailyspend SET amount = amount + 1"),
    ],
)
def test_each_question_would_find_what_is_wrong(bill: Wallet, number: int, broken: str) -> None:
    question = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)[number]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # no triggers
        if number:
            cursor.execute(broken)
        else:
            # A posting sums to zero by its form: only a view that lost a side could show another sum.
            question = question.replace("billing_leg", "(SELECT * FROM billing_leg WHERE account <> 2) one_sided")
        cursor.execute(question)
        assert cursor.fetchall() != []


def test_the_page_names_every_column_share_and_pause() -> None:
    assert {name for name in CHARGE_COLUMNS if f"`{name}`" not in PAGE} == set()
    assert f"at {', '.join(map(str, SHARES[:0:-1]))} and {SHARES[0]} %" in PAGE
    assert f"after {', '.join(str(pause // 60) for pause in PAUSES[:3])} minutes" in PAGE
