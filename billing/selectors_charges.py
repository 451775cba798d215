"""Charges as people read them: line by line, and summed by day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from billing.models import Account, BilledDeployment, DailySpend, EntryKind, Grant, LedgerEntry, Posting, Price, Unit
from billing.models.ledger import FOR_EVER
from billing.pricing import credits_text

DAY = timedelta(days=1)
# What a line reads of its entry.
READ = ("booked_at", "amount", "deployment_id", "price_id", "quantity", "from_at", "to_at")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which charges: of a deployment, of a project, that began at `since` or later and before `until`. None is no limit."""

    deployment: UUID | None = None
    project: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


class Part(NamedTuple):
    """What one posting of a charge took, and where: from a grant, or from the platform (no grant)."""

    unit: int
    source: int
    grant_id: UUID | None
    amount: int


@dataclass(frozen=True, slots=True)
class Around:
    """What charges refer to, by id."""

    named: Mapping[UUID, dict[str, Any]]
    prices: Mapping[int, Price]
    grants: Mapping[UUID, Grant]
    given_back: Mapping[int, dict[str, Any]]


def charges_of(wallet_id: UUID, wanted: Wanted) -> QuerySet[LedgerEntry]:
    """Return the charges of a wallet, newest first; `lines_of` makes them readable."""
    rows = LedgerEntry.objects.filter(wallet=wallet_id, kind=EntryKind.CHARGE, **of_what(wallet_id, wanted))
    if wanted.since:
        rows = rows.filter(booked_at__gte=wanted.since)
    if wanted.until:
        rows = rows.filter(booked_at__lt=wanted.until)
    return rows.only(*READ).order_by("-booked_at", "-id")


def days_of(wallet_id: UUID, wanted: Wanted) -> QuerySet[DailySpend]:
    """Return what each deployment of a wallet was charged for each price on each day of UTC, newest first; whole days, also of a part of one."""
    rows = DailySpend.objects.filter(wallet=wallet_id, **of_what(wallet_id, wanted))
    if wanted.since:
        rows = rows.filter(day__gte=wanted.since.astimezone(UTC).date())
    if wanted.until:
        rows = rows.filter(day__lt=day_after(wanted.until))
    return rows.select_related("price").order_by("-day", "deployment_id", "price_id")


def day_after(moment: datetime) -> date:
    """Return the first day that begins at a moment or later; behind the last day there is none."""
    moment = moment.astimezone(UTC)
    return moment.date() if moment.time() == time() or moment.date() == date.max else moment.date() + DAY


def of_what(wallet_id: UUID, wanted: Wanted) -> dict[str, Any]:
    """Return the filter for a deployment or for those of a project."""
    if wanted.project:
        own = BilledDeployment.objects.filter(wallet=wallet_id, project_id=wanted.project)
        own = own.filter(pk=wanted.deployment) if wanted.deployment else own
        return {"deployment_id__in": own.values("deployment_id")}
    return {"deployment_id": wanted.deployment} if wanted.deployment else {}


def lines_of(entries: Sequence[LedgerEntry]) -> list[dict[str, Any]]:
    """Return charges as a bill shows them: what for, at which rate, how much of it, from which grants. Five questions, however many they are."""
    parts = parts_of(entries)
    found = Around(
        named=deployments_named(entry.deployment_id for entry in entries),
        prices=Price.objects.in_bulk({entry.price_id for entry in entries if entry.price_id}),
        grants=Grant.objects.in_bulk({part.grant_id for ones in parts.values() for part in ones if part.grant_id}),
        given_back=given_back(entries),
    )
    return [line_of(entry, parts.get(entry.pk, []), found) for entry in entries]


def parts_of(entries: Sequence[LedgerEntry]) -> dict[int, list[Part]]:
    """Return the postings of charges. No rows of the ORM: prefetched ones refer to each other, and an export would leave them lying."""
    rows = Posting.objects.filter(entry__in=[entry.pk for entry in entries]).order_by("id")
    found: dict[int, list[Part]] = {}
    for entry_id, unit, source, grant_id, amount in rows.values_list("entry_id", "unit", "source", "grant_id", "amount"):
        found.setdefault(entry_id, []).append(Part(unit, source, grant_id, amount))
    return found


def line_of(entry: LedgerEntry, parts: Sequence[Part], around: Around) -> dict[str, Any]:
    """Return one charge."""
    hits = any(part.unit == Unit.HIT for part in parts)
    micro = 0 if hits else entry.amount
    price = around.prices.get(entry.price_id) if entry.price_id else None
    return {
        "entry": entry.pk,
        "deployment": around.named.get(entry.deployment_id) if entry.deployment_id else None,
        "price": price_shown(price),
        "quantity": entry.quantity,
        "from": entry.from_at,
        "to": entry.to_at,
        "micro_credits": micro,
        "credits": credits_text(micro),
        "hits": entry.amount if hits else 0,
        "grants": [grant_used(part, around.grants[part.grant_id]) for part in parts if part.grant_id],
        "written_off": sum(part.amount for part in parts if part.source == Account.WRITE_OFF and not hits),
        "given_back": around.given_back.get(entry.pk),
        "sum": sum_text(price, entry.quantity or 0, micro),
    }


def day_lines(rows: Sequence[DailySpend]) -> list[dict[str, Any]]:
    """Return sums by day in the shape of lines: they have no entry, and the lines tell which grants were used."""
    named = deployments_named(row.deployment_id for row in rows)
    return [
        {
            "entry": None,
            "deployment": named.get(row.deployment_id),
            "price": price_shown(row.price),
            "quantity": row.quantity,
            "from": datetime.combine(row.day, time(), UTC),
            "to": datetime.combine(row.day + DAY, time(), UTC),
            "micro_credits": row.amount,
            "credits": credits_text(row.amount),
            "hits": None,
            "grants": [],
            "written_off": row.written_off,
            "given_back": None,
            "sum": sum_text(row.price, row.quantity, row.amount),
        }
        for row in rows
    ]


def deployments_named(ids: Iterable[UUID | None]) -> dict[UUID, dict[str, Any]]:
    """Return deployments as bills name them, those included that are deleted."""
    found = BilledDeployment.objects.filter(pk__in={one for one in ids if one})
    return {one.pk: {"id": one.pk, "label": one.label, "offer": one.offer, "project": one.project_id} for one in found}


def price_shown(price: Price | None) -> dict[str, Any] | None:
    """Return a price: micro-credits for each unit."""
    return {"code": price.code, "unit": price.unit, "micro_credits": price.micro_credits} if price else None


def grant_used(part: Part, grant: Grant) -> dict[str, Any]:
    """Return what a charge took of a grant, in micro-credits or in free runs."""
    hits = part.unit == Unit.HIT
    return {
        "grant": grant.pk,
        "source": grant.source,
        "plan": grant.plan_code,
        "expires_at": None if grant.expires_at == FOR_EVER else grant.expires_at,
        "micro_credits": 0 if hits else part.amount,
        "hits": part.amount if hits else 0,
    }


def given_back(entries: Sequence[LedgerEntry]) -> dict[int, dict[str, Any]]:
    """Return the corrections of charges, by the id of the charge."""
    rows = LedgerEntry.objects.filter(reverses__in=[entry.pk for entry in entries]).values_list("reverses_id", "pk", "amount", "reason")
    return {charge: {"entry": pk, "micro_credits": amount, "reason": reason} for charge, pk, amount, reason in rows if charge}


def sum_text(price: Price | None, quantity: int, micro_credits: int) -> str:
    """Return how an amount comes about ("52,192 s x 0.03495 = 1,824.1104 credits")."""
    if price is None:
        return ""
    used = f"{quantity:,} {price.unit}"
    if quantity * price.micro_credits == micro_credits:
        return f"{used} x {credits_text(price.micro_credits)} = {credits_text(micro_credits)} credits"
    return f"{used}, free runs among them = {credits_text(micro_credits)} credits" if micro_credits else f"{used} in free runs"
