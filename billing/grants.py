"""Credits that come in, and those that are taken back: each once, by its key."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet, Sum

from billing.caps import review_caps
from billing.errors import KeyReused
from billing.funding import review_wallets
from billing.models import Account, EntryKind, Grant, GrantSource, LedgerEntry, Posting, Unit
from billing.models.ledger import FOR_EVER
from billing.periods import whole_minute
from billing.pricing import credits_text
from billing.wallets import lock_wallets
from controlplane.common import clock
from controlplane.common.errors import Conflict, InvalidInput

# What was charged wrongly can be spent for so long at least.
CORRECTION_LASTS = timedelta(days=30)
MOST_MICRO = 10**16
SPEND = "UPDATE billing_grant SET spent = spent + %s WHERE id = %s"
HOUR = """
INSERT INTO billing_hourlyspend (grant_id, hour, amount) VALUES (%s, date_trunc('hour', %s::timestamptz, 'UTC'), %s)
ON CONFLICT (grant_id, hour) DO UPDATE SET amount = billing_hourlyspend.amount + excluded.amount
"""


def grant_credits(
    *,
    wallet_id: UUID,
    amount: int,
    key: str,
    source: GrantSource,
    starts_at: datetime | None = None,
    expires_at: datetime = FOR_EVER,
    unit: Unit = Unit.MICRO_CREDIT,
    reason: str = "",
    plan_code: str = "",
    actor_id: UUID | None = None,
    reverses: LedgerEntry | None = None,
) -> Grant:
    """Put `amount` micro-credits (or hits) into a wallet, valid from `starts_at` (default: now) until just before `expires_at`; return the grant.

    Again with the same key is no error and changes nothing. Times are cut to full minutes. Raises `KeyReused` if the key stands for another
    amount or wallet, `InvalidInput` for an amount that is none and for a time that is over before it begins.
    """
    if not 0 < amount <= MOST_MICRO:
        raise InvalidInput(
            "bad_amount", f"Grant more than 0 and at most {credits_text(MOST_MICRO)} credits.", fields={"amount": ["Not in range."]}
        )
    begins, ends = whole_minute(starts_at or clock.now()), whole_minute(expires_at)
    if ends <= begins:
        detail = f"The grant would be over before it begins: let it end after {begins:%Y-%m-%d %H:%M} UTC."
        raise InvalidInput("bad_time", detail, fields={"expires_at": ["Not after the start."]})
    with transaction.atomic():
        lock_wallets([wallet_id])
        known = Grant.objects.filter(key=key).first()
        if known is not None:
            if (known.amount, known.wallet_id, known.unit) != (amount, wallet_id, unit):
                raise KeyReused(key)
            return known
        grant = Grant.objects.create(
            wallet_id=wallet_id,
            unit=unit,
            source=source,
            key=key,
            amount=amount,
            starts_at=begins,
            expires_at=ends,
            reason=reason[:500],
            plan_code=plan_code,
        )
        book(
            grant,
            kind=EntryKind.GRANT,
            key=f"grant:{key}",
            amount=amount,
            between=(Account.ISSUED, Account.CREDITS),
            booked_at=begins,
            reason=reason,
            actor_id=actor_id,
            reverses=reverses,
        )
        review_wallets([wallet_id], came_in=True)
        if reverses is not None:
            review_caps([wallet_id])
    return grant


def book(grant: Grant, *, amount: int, between: tuple[Account, Account], booked_at: datetime, reason: str, **entry: Any) -> LedgerEntry:
    """Write an entry with one posting of a grant."""
    made = LedgerEntry.objects.create(wallet_id=grant.wallet_id, amount=amount, booked_at=booked_at, reason=reason[:500], **entry)
    Posting.objects.create(
        entry=made,
        wallet_id=grant.wallet_id,
        unit=grant.unit,
        source=between[0],
        target=between[1],
        grant=grant,
        amount=amount,
        booked_at=booked_at,
        expires_at=grant.expires_at,
    )
    return made


def take_back(*, grant_id: UUID, amount: int, key: str, reason: str, actor_id: UUID | None = None) -> LedgerEntry:
    """Take what is left of a grant back, `amount` micro-credits of it: one that was made by mistake. Again with the same key changes nothing.

    Raises `Conflict` when less is left, `InvalidInput` for an amount that is none.
    """
    if amount <= 0:
        raise InvalidInput("bad_amount", "Take back more than 0 credits.", fields={"amount": ["Not more than 0."]})
    wallet_id = Grant.objects.values_list("wallet_id", flat=True).get(pk=grant_id)
    with transaction.atomic():
        lock_wallets([wallet_id])
        known = LedgerEntry.objects.filter(key=f"take-back:{key}").first()
        if known is not None:
            return known
        grant = Grant.objects.get(pk=grant_id)
        now = clock.now()
        if grant.amount - grant.spent < amount or grant.expires_at <= now:
            left = 0 if grant.expires_at <= now else grant.amount - grant.spent
            raise Conflict("not_that_much_left", f"Of this grant {credits_text(left)} credits are left. Take back at most so many.")
        booked_at = max(now, grant.starts_at)
        with connection.cursor() as cursor:
            cursor.execute(SPEND, [amount, grant.pk])
            cursor.execute(HOUR, [grant.pk, booked_at, amount])
        entry = book(
            grant,
            kind=EntryKind.TAKE_BACK,
            key=f"take-back:{key}",
            amount=amount,
            between=(Account.CREDITS, Account.ISSUED),
            booked_at=booked_at,
            reason=reason,
            actor_id=actor_id,
        )
        review_wallets([wallet_id])
        if grant.source == GrantSource.CORRECTION:
            review_caps([wallet_id])
    return entry


def paid_postings(entry_id: int) -> QuerySet[Posting]:
    """Return what grants paid of a charge, in micro-credits."""
    return Posting.objects.filter(entry_id=entry_id, source=Account.CREDITS, unit=Unit.MICRO_CREDIT)


def paid_for(entry_id: int) -> int:
    """Return the micro-credits that grants paid of a charge: less than it is where the platform bore a part."""
    return int(paid_postings(entry_id).aggregate(paid=Sum("amount"))["paid"] or 0)


def correct_charge(*, entry_id: int, amount: int, reason: str, actor_id: UUID | None = None) -> Grant:
    """Give back `amount` micro-credits of a charge, as another grant: the charge itself stays. One correction for each charge.

    It lasts as long as what was spent would have, 30 days at least. Raises `Conflict` if the charge was corrected before, `InvalidInput` if it
    is no charge of that much.
    """
    entry = LedgerEntry.objects.filter(pk=entry_id).first()
    if entry is None or entry.kind != EntryKind.CHARGE:
        what = f"Entry {entry_id} is no charge" if entry else f"There is no entry {entry_id}"
        detail = f"{what}. Name the id of a charge: the page of charges and its export have it as `entry`."
        raise InvalidInput("no_such_charge", detail, fields={"entry": ["No charge."]})
    taken = paid_postings(entry_id)
    paid = paid_for(entry_id)
    if not 0 < amount <= paid:
        most = f"Give back more than 0 and at most {credits_text(paid)} credits: so many were taken from grants."
        raise InvalidInput("bad_amount", f"More than was paid for charge {entry_id}. {most}", fields={"amount": [most]})
    if hasattr(entry, "reversed_by"):
        raise Conflict("already_corrected", f"Charge {entry_id} was corrected before. Grant credits with a reason instead.")
    lasted = max(taken.values_list("expires_at", flat=True))
    return grant_credits(
        wallet_id=entry.wallet_id,
        amount=amount,
        key=f"correction:{entry_id}",
        source=GrantSource.CORRECTION,
        expires_at=max(lasted, clock.now() + CORRECTION_LASTS),
        reason=reason,
        actor_id=actor_id,
        reverses=entry,
    )
