"""Exports: the lines of bills and invoices as CSV and JSON, piece by piece, however many there are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from billing.models import DailySpend, Invoice, LedgerEntry
from billing.pricing import MICRO_PER_CREDIT
from billing.selectors_charges import Wanted, charges_of, day_lines, days_of, lines_of

CHUNK = 2000
# A spreadsheet takes a cell that begins with one of these for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
CHARGE_COLUMNS = (
    *("entry", "from", "to", "project", "deployment", "label", "offer", "price", "unit", "micro_credits_a_unit", "quantity"),
    *("micro_credits", "credits", "hits", "written_off", "grants", "given_back"),
)
DAY_COLUMNS = (
    *("day", "project", "deployment", "label", "offer", "price", "unit", "micro_credits_a_unit", "quantity", "micro_credits", "credits"),
    "written_off",
)
INVOICE_COLUMNS = (
    *("invoice", "number", "status", "issued_at", "paid_at", "currency", "description", "amount_cents", "start", "end"),
    *("invoice_cents", "hosted_url"),
)
Row = dict[str, Any]


def charge_rows(wallet_id: UUID, wanted: Wanted) -> Iterator[Row]:
    """Yield each charge, oldest first."""
    rows = charges_of(wallet_id, wanted).order_by("booked_at", "id")
    for chunk in chunks(rows, after_entry):
        yield from lines_of(chunk)


def day_rows(wallet_id: UUID, wanted: Wanted) -> Iterator[Row]:
    """Yield the sums of each day, oldest first."""
    rows = days_of(wallet_id, wanted).order_by("day", "deployment_id", "price_id")
    for chunk in chunks(rows, after_day):
        for row, line in zip(chunk, day_lines(chunk), strict=True):
            yield {
                "day": row.day,
                **{name: line[name] for name in ("deployment", "price", "quantity", "micro_credits", "credits", "written_off")},
            }


def invoice_rows(wallet_id: UUID, wanted: Wanted) -> Iterator[Row]:
    """Yield each line of each invoice, oldest first; amounts are hundredths of the currency."""
    rows = Invoice.objects.filter(wallet=wallet_id).order_by("issued_at", "id")
    if wanted.since:
        rows = rows.filter(issued_at__gte=wanted.since)
    if wanted.until:
        rows = rows.filter(issued_at__lt=wanted.until)
    for chunk in chunks(rows, lambda last: Q(issued_at__gt=last.issued_at) | Q(issued_at=last.issued_at, id__gt=last.pk)):
        for invoice in chunk:
            yield from lines_of_invoice(invoice)


def lines_of_invoice(invoice: Invoice) -> Iterator[Row]:
    """Yield the lines of an invoice, each with what is known of the invoice."""
    told = {
        "invoice": invoice.stripe_id,
        "number": invoice.number,
        "status": invoice.status,
        "issued_at": invoice.issued_at,
        "paid_at": invoice.paid_at,
        "currency": invoice.currency,
    }
    for line in invoice.lines:
        yield {
            **told,
            "description": line.get("description", ""),
            "amount_cents": line.get("amount"),
            "start": line.get("start"),
            "end": line.get("end"),
            "invoice_cents": invoice.amount,
            "hosted_url": invoice.hosted_url,
        }


def chunks(rows: QuerySet[Any], after: Callable[[Any], Q]) -> Iterator[list[Any]]:
    """Yield rows CHUNK by CHUNK, each from a short question of its own: nothing stays open on the server while a slow client reads."""
    found = list(rows[:CHUNK])
    while found:
        yield found
        found = list(rows.filter(after(found[-1]))[:CHUNK]) if len(found) == CHUNK else []


def after_entry(last: LedgerEntry) -> Q:
    """Return the condition for what comes behind an entry; the first part is for the index."""
    return Q(booked_at__gte=last.booked_at) & (Q(booked_at__gt=last.booked_at) | Q(id__gt=last.pk))


def after_day(last: DailySpend) -> Q:
    """Return the condition for what comes behind a day's sum."""
    same = Q(deployment_id__gt=last.deployment_id) | Q(deployment_id=last.deployment_id, price_id__gt=last.price_id)
    return Q(day__gte=last.day) & (Q(day__gt=last.day) | same)


def flat_charge(line: Row) -> Row:
    """Return a charge as one row of a table."""
    back = line["given_back"]
    used = (f"{one['grant']}:{one['hits'] or one['micro_credits']}" for one in line["grants"])
    return {
        **{name: line[name] for name in ("entry", "from", "to", "quantity", "micro_credits", "hits", "written_off")},
        **flat_parts(line),
        "grants": " ".join(used),
        "given_back": back["micro_credits"] if back else None,
    }


def flat_day(line: Row) -> Row:
    """Return a day's sum as one row of a table."""
    return {**{name: line[name] for name in ("day", "quantity", "micro_credits", "written_off")}, **flat_parts(line)}


def flat_parts(line: Row) -> Row:
    """Return deployment and price as cells, and the amount as a number of credits without separators."""
    deployment, price = line["deployment"] or {}, line["price"] or {}
    return {
        "project": deployment.get("project"),
        "deployment": deployment.get("id"),
        "label": deployment.get("label"),
        "offer": deployment.get("offer"),
        "price": price.get("code"),
        "unit": price.get("unit"),
        "micro_credits_a_unit": price.get("micro_credits"),
        "credits": f"{Decimal(line['micro_credits']) / MICRO_PER_CREDIT:f}",
    }


def csv_lines(columns: Iterable[str], rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield a table as CSV (RFC 4180, with a header), some hundred rows at a time."""
    names = list(columns)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(names)
    for row in rows:
        writer.writerow([cell(row[name]) for name in names])
        if buffer.tell() > 1 << 16:
            yield taken(buffer)
    yield taken(buffer)


def taken(buffer: io.StringIO) -> bytes:
    """Return what a buffer has, and empty it."""
    content = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return content


def cell(value: Any) -> Any:
    """Return a value as a cell. Texts that a spreadsheet would compute get an apostrophe first."""
    if isinstance(value, datetime | date):
        return spelled(value)
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value


def json_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield rows as one array of JSON, an object a line."""
    pieces: list[str] = ["["]
    for number, row in enumerate(rows):
        pieces.append((",\n" if number else "\n") + json.dumps(row, default=spelled, ensure_ascii=False))
        if len(pieces) > 200:
            yield "".join(pieces).encode()
            pieces = []
    yield "".join([*pieces, "\n]\n"]).encode()


def spelled(value: Any) -> str:
    """Return a time or an id as the API spells it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else str(value)


KINDS: dict[str, tuple[Callable[[UUID, Wanted], Iterator[Row]], Callable[[Row], Row], tuple[str, ...]]] = {
    "charges": (charge_rows, flat_charge, CHARGE_COLUMNS),
    "days": (day_rows, flat_day, DAY_COLUMNS),
    "invoices": (invoice_rows, dict, INVOICE_COLUMNS),
}


def exported(wallet_id: UUID, wanted: Wanted, *, kind: str, form: str) -> Iterator[bytes]:
    """Yield an export: kind is one of KINDS, form "csv" or "json"."""
    read, flat, columns = KINDS[kind]
    rows = read(wallet_id, wanted)
    return json_lines(rows) if form == "json" else csv_lines(columns, (flat(row) for row in rows))
