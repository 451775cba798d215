"""How long the credits last: what burns now, against the grants with their ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F

from billing.metering import SECOND, read_metered, span_of
from billing.models import Grant, MeteredResource, Unit
from billing.models.ledger import FOR_EVER
from billing.pricing import Unit as PriceUnit
from controlplane.common import clock

SECONDS_PER_HOUR = 3600
# Micro-credits are counted in millionths here, so that a rate by the second is whole by the microsecond.
FINE = 1_000_000


@dataclass(frozen=True, slots=True)
class Pocket:
    """What a grant has left, in micro-credits, spendable from `starts_at` until just before `expires_at`."""

    left: int
    starts_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Burn:
    """What instances cost now: micro-credits a second, and what they have cost already but was not charged yet."""

    instances: int
    rate: int
    owed: int

    @property
    def micro_credits_an_hour(self) -> int:
        """Return the rate by the hour."""
        return self.rate * SECONDS_PER_HOUR

    def with_more(self, rate: int, *, instances: int = 1) -> Burn:
        """Return what would burn with further instances of `rate` micro-credits a second in all."""
        return Burn(self.instances + instances, self.rate + rate, self.owed)


def burn_of(wallet_id: UUID) -> Burn:
    """Return what the instances of a wallet cost now: those that run, were of use, and that nobody has asked to end."""
    now = clock.now()
    opened = MeteredResource.objects.filter(wallet=wallet_id, closed_at=None, billable=True, started_at__isnull=False)
    rows = read_metered(opened.filter(price__unit=PriceUnit.SECOND))
    running = [one for one in rows if one.ending_at is None and one.stopped_at is None]
    spans = [span for one in rows if (span := span_of(one, now)) is not None]
    owed = sum((span.until - span.since) // SECOND * span.resource.rate for span in spans)
    return Burn(len(running), sum(one.rate for one in running), owed)


def pockets_of(wallet_id: UUID) -> list[Pocket]:
    """Return what the grants of a wallet have left, those that begin later included."""
    rows = Grant.objects.filter(wallet=wallet_id, unit=Unit.MICRO_CREDIT, spent__lt=F("amount"), expires_at__gt=clock.now())
    return [Pocket(one.amount - one.spent, one.starts_at, one.expires_at) for one in rows.order_by("expires_at", "id")]


def lasts_until(pockets: Iterable[Pocket], burn: Burn, *, since: datetime, reserve: int = 0) -> datetime | None:
    """Return when no more than `reserve` micro-credits are left if it burns on like this, None if nothing burns.

    The pocket that ends first is spent first, and what is left in it then is lost. Exact to the microsecond; FOR_EVER if it lasts beyond all dates.
    """
    if burn.rate <= 0:
        return None
    purse = Purse(pockets)
    purse.take(burn.owed * FINE, since)
    at = since
    while (over := purse.left_at(at) - reserve * FINE) > 0:
        until = purse.next_change(at)
        needed = -(-over // burn.rate)
        spare = (until - at) // timedelta(microseconds=1)
        # What is used up just when the next pocket begins goes on with that one.
        if needed < spare:
            return at + timedelta(microseconds=needed)
        purse.take(spare * burn.rate, at)
        at = until
    return at


class Purse:
    """Pockets that are being emptied."""

    def __init__(self, pockets: Iterable[Pocket]) -> None:
        self.pockets = [(one, one.left * FINE) for one in sorted(pockets, key=lambda one: one.expires_at)]

    def left_at(self, moment: datetime) -> int:
        """Return what can be spent at a moment."""
        return sum(left for one, left in self.pockets if one.starts_at <= moment < one.expires_at)

    def take(self, amount: int, moment: datetime) -> None:
        """Spend from what is valid at a moment, the earliest end first; what it does not cover is nobody's."""
        for place, (one, left) in enumerate(self.pockets):
            if one.starts_at <= moment < one.expires_at:
                taken = min(left, amount)
                self.pockets[place] = (one, left - taken)
                amount -= taken

    def next_change(self, moment: datetime) -> datetime:
        """Return when the next pocket begins or ends."""
        moments = (when for one, _ in self.pockets for when in (one.starts_at, one.expires_at) if when > moment)
        return min(moments, default=FOR_EVER)
