"""Exports: the same lines as the API has, in files that spreadsheets and programs read."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from billing import exports
from billing.exports import CHARGE_COLUMNS, cell, exported
from billing.grants import correct_charge
from billing.models import BilledDeployment, DailySpend, Grant, Invoice, LedgerEntry, Wallet
from billing.pricing import Price as Rate
from billing.pricing import Unit
from billing.selectors_charges import Wanted
from controlplane.accounts.models import User
from controlplane.workspaces.roles import Role
from tests.billing.spending import CREDIT, make_billed, spend, spend_credits
from tests.factories import make_member, make_organization

Api = Callable[..., APIClient]
ALL = Wanted()


@pytest.fixture
def deployment(wallet: Wallet) -> BilledDeployment:
    return make_billed(wallet, "quay/belts/count")


@pytest.fixture
def fetch(api: Api, payer: User) -> Callable[..., Any]:
    """Return `fetch(kind="days")`: the answer of the export."""
    client, root = api(payer), payer.namespaces.get(parent=None)
    return lambda **query: client.get(f"/v1/namespaces/{root.pk}/billing/export/", query)


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_a_line_of_csv_has_the_whole_charge(deployment: BilledDeployment, wallet: Wallet, fetch: Any, payer: User) -> None:
    spend(deployment, 60)
    charge = LedgerEntry.objects.get(kind="CHARGE")
    correct_charge(entry_id=charge.pk, amount=200, reason="A little of it.")

    answer = fetch(month="2026-03")

    assert answer["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer["Content-Disposition"] == f'attachment; filename="slipway-charges-{payer.username}-2026-03.csv"'
    content = answer.getvalue()
    assert content.count(b"\r\n") == content.count(b"\n") == 2
    [row] = table(content)
    assert row == {
        "entry": str(charge.pk),
        "from": "2026-03-02T09:00:00Z",
        "to": "2026-03-02T09:01:00Z",
        "project": str(deployment.project_id),
        "deployment": str(deployment.pk),
        "label": "quay/belts/count",
        "offer": "AWS FRANCE CLUSTER XS",
        "price": "AWS CLUSTER XS",
        "unit": "s",
        "micro_credits_a_unit": "4770",
        "quantity": "60",
        "micro_credits": "286200",
        "credits": "0.2862",
        "hits": "0",
        "written_off": "0",
        "grants": f"{Grant.objects.get(wallet=wallet, source='PLAN').pk}:286200",
        "given_back": "200",
    }


def test_json_has_the_lines_that_the_api_lists(deployment: BilledDeployment, api: Api, payer: User, fetch: Any) -> None:
    for minute in range(3):
        spend(deployment, 60, at=datetime(2026, 3, 2, 9, minute, tzinfo=UTC))

    answer = fetch(format="json")

    assert answer["Content-Type"] == "application/json"
    listed = api(payer).get(f"/v1/namespaces/{payer.namespaces.get(parent=None).pk}/billing/charges/").json()["results"]
    assert json.loads(answer.getvalue()) == listed[::-1]


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize("kind", ["charges", "days", "invoices"])
def test_nothing_is_a_file_as_well(deployment: BilledDeployment, fetch: Any, kind: str, form: str) -> None:
    content = fetch(kind=kind, format=form).getvalue()

    assert (json.loads(content) if form == "json" else table(content)) == []


def test_sums_of_days(deployment: BilledDeployment, fetch: Any) -> None:
    for hour in (1, 2):
        spend(deployment, 60, at=datetime(2026, 3, 3, hour, tzinfo=UTC))

    [row] = table(fetch(kind="days").getvalue())
    [line] = json.loads(fetch(kind="days", format="json").getvalue())

    assert (row["day"], row["label"], row["quantity"], row["credits"]) == ("2026-03-03", "quay/belts/count", "120", "0.5724")
    assert (line["day"], line["deployment"]["label"], line["micro_credits"]) == ("2026-03-03", "quay/belts/count", 572_400)


def test_lines_of_invoices(wallet: Wallet, fetch: Any) -> None:
    lines = [
        {"description": "=1+1", "amount": 1990, "start": "2026-03-02T09:00:00+00:00", "end": "2026-04-02T09:00:00+00:00"},
        {"description": "Unused time", "amount": -500, "start": None, "end": None},
    ]
    told = {"status": "paid", "currency": "EUR", "amount": 1490, "lines": lines}
    for number, month in (("A-1", 3), ("A-2", 4)):
        Invoice.objects.create(
            wallet=wallet, stripe_id=f"in_{number}", number=number, issued_at=datetime(2026, month, 2, 9, tzinfo=UTC), **told
        )

    rows = table(fetch(kind="invoices", month="2026-03").getvalue())

    assert [(row["number"], row["description"], row["amount_cents"], row["invoice_cents"]) for row in rows] == [
        ("A-1", "'=1+1", "1990", "1490"),
        ("A-1", "Unused time", "-500", "1490"),
    ]
    assert [line["number"] for line in json.loads(fetch(kind="invoices", format="json").getvalue())] == ["A-1", "A-1", "A-2", "A-2"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_text_becomes_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["quay/a=b", -500, 0, "1-2"])
def test_what_is_no_formula_stays_as_it_is(value: object) -> None:
    assert cell(value) == value


def test_a_label_with_everything_in_it_comes_through_csv(wallet: Wallet, fetch: Any) -> None:
    label = '@quay, "belts";\r\nÉclair'
    spend(make_billed(wallet, label), 60)

    [row] = table(fetch().getvalue())

    assert row["label"] == f"'{label}"


def test_filters_narrow_the_file(wallet: Wallet, deployment: BilledDeployment, fetch: Any) -> None:
    other = make_billed(wallet)
    for day in (2, 31):
        spend(deployment, 60, at=datetime(2026, 3, day, tzinfo=UTC))
        spend(other, 60, at=datetime(2026, 3, day, tzinfo=UTC))

    def count(**query: Any) -> int:
        return len(table(fetch(**query).getvalue()))

    assert [count(), count(deployment=deployment.pk), count(project=other.project_id), count(month="2026-04")] == [4, 2, 2, 0]
    assert count(since="2026-03-03T00:00:00Z") == 2
    assert count(kind="days", project=other.project_id) == 2


@pytest.mark.parametrize("query", [{"format": "xlsx"}, {"kind": "grants"}, {"month": "March"}])
def test_what_cannot_be_exported_is_refused_in_json(fetch: Any, query: dict[str, str]) -> None:
    answer = fetch(**query)

    assert (answer.status_code, answer["Content-Type"]) == (400, "application/json")
    assert list(answer.json()["fields"]) == list(query)


def test_an_accept_header_does_not_matter(api: Api, payer: User, deployment: BilledDeployment) -> None:
    spend(deployment, 60)
    address = f"/v1/namespaces/{payer.namespaces.get(parent=None).pk}/billing/export/"

    assert len(table(api(payer).get(address, headers={"Accept": "text/csv"}).getvalue())) == 1


def test_a_refusal_streams_nothing(api: Api, payer: User, stranger: User) -> None:
    organization = make_organization(payer)
    address = f"/v1/namespaces/{organization.namespaces.get().pk}/billing/export/?format=csv"

    for user, status in ((stranger, 404), (make_member(organization, Role.MEMBER), 403)):
        answer = api(user).get(address)
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/json")


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_each_line_comes_once_whatever_the_pieces(deployment: BilledDeployment, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(exports, "CHUNK", chunk)
    for number in range(7):  # several begin at the same moment
        spend(deployment, 60 + number, at=datetime(2026, 3, 3, tzinfo=UTC) + timedelta(minutes=number // 3))
        spend(deployment, 1, product=(f"AWS CLUSTER {number}", rate_of_one()), at=datetime(2026, 3, 3, tzinfo=UTC))

    charges = table(b"".join(exported(deployment.wallet_id, ALL, kind="charges", form="csv")))
    days = json.loads(b"".join(exported(deployment.wallet_id, ALL, kind="days", form="json")))

    assert [int(row["entry"]) for row in charges] == list(
        LedgerEntry.objects.filter(kind="CHARGE").order_by("booked_at", "id").values_list("pk", flat=True)
    )
    assert (len(days), sum(line["micro_credits"] for line in days)) == (8, sum(DailySpend.objects.values_list("amount", flat=True)))


def rate_of_one() -> Any:
    return Rate(1, Unit.SECOND)


def test_a_long_export_takes_few_questions_and_little_memory(
    deployment: BilledDeployment, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "CHUNK", 500)
    spend_credits(deployment, 1)
    copies = "INSERT INTO billing_ledgerentry (wallet_id, kind, key, booked_at, amount, deployment_id, price_id, quantity, from_at, to_at, reason) "
    copies += "SELECT wallet_id, kind, key || n, booked_at + n * interval '1 second', amount, deployment_id, price_id, quantity, from_at, to_at, '' "
    with connection.cursor() as cursor:
        cursor.execute(copies + "FROM billing_ledgerentry, generate_series(1, 4000) n WHERE kind = 'CHARGE'")

    with CaptureQueriesContext(connection) as asked:
        rows = lines_in(wallet)
    tracemalloc.start()
    lines_in(wallet)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert (rows, len(asked)) == (4001, 5 * 9 + 1)
    assert peak < 8_000_000


def lines_in(wallet: Wallet) -> int:
    return sum(piece.count(b"\r\n") for piece in exported(wallet.pk, ALL, kind="charges", form="csv")) - 1


def test_the_columns_are_those_of_the_documentation(deployment: BilledDeployment) -> None:
    [header] = b"".join(exported(deployment.wallet_id, ALL, kind="charges", form="csv")).decode().splitlines()

    assert tuple(header.split(",")) == CHARGE_COLUMNS


def test_amounts_of_the_file_are_those_of_the_ledger(deployment: BilledDeployment, wallet: Wallet) -> None:
    spend_credits(deployment, 300)
    spend_credits(deployment, 300)  # of 200 that are left

    rows = table(b"".join(exported(wallet.pk, ALL, kind="charges", form="csv")))

    assert sum(int(row["micro_credits"]) - int(row["written_off"]) for row in rows) == 500 * CREDIT
