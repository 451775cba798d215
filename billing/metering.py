"""The meter: the time of instances, in whole seconds, into charges; each second once, whoever meters and however often.

The room above says when an instance started, was of use, is to end, and stopped (`note_instance`); the meter charges what lies between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, F, Min, Q, Value, When
from django.db.models.functions import Coalesce

from billing.charging import Charge, boundaries_between, charge
from billing.checkpoints import checkpoint
from billing.holds import release_hold
from billing.models import MeteredResource
from billing.wallets import lock_wallets
from controlplane.common import clock
from controlplane.common.arrays import array_text

# Wallets that one transaction meters: their locks are held that long, and usage waits for them.
WALLETS_AT_ONCE = 100
SECOND = timedelta(seconds=1)
COLUMNS = (
    "pk",
    "wallet_id",
    "deployment_id",
    "price_id",
    "price__micro_credits",
    "started_at",
    "billable",
    "ending_at",
    "stopped_at",
    "cut_off",
    "billed_until",
)
ADVANCE = """
UPDATE billing_meteredresource SET billed_until = moved.until
FROM unnest(%s::uuid[], %s::timestamptz[]) AS moved (id, until) WHERE billing_meteredresource.id = moved.id
"""
SPANS = """
INSERT INTO billing_billedspan (resource_id, span)
SELECT id, tstzrange(since, until) FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS given (id, since, until)
"""


class Metered(NamedTuple):
    """What of a MeteredResource the meter needs: ten thousand of these are made in a tick. `rate` is in micro-credits a second."""

    pk: UUID
    wallet_id: UUID
    deployment_id: UUID
    price_id: int
    rate: int
    started_at: datetime
    billable: bool
    ending_at: datetime | None
    stopped_at: datetime | None
    cut_off: bool
    billed_until: datetime | None


class Span(NamedTuple):
    """Whole seconds of a resource that are to be charged."""

    resource: Metered
    since: datetime
    until: datetime


def meter(*, resource_ids: Iterable[UUID] | None = None) -> int:
    """Charge the time of all instances up to now (or of these); return how many spans were charged.

    Can be repeated, overlap, and be killed at any moment: under the wallets' locks each resource tells how far it is charged, and the exclusion of
    spans refuses what would be charged twice.
    """
    rows = MeteredResource.objects.filter(closed_at=None, started_at__isnull=False).filter(Q(billable=True) | Q(cut_off=True))
    if resource_ids is not None:
        rows = rows.filter(pk__in=list(resource_ids))
    wallets = sorted(set(rows.values_list("wallet_id", flat=True)))
    total = 0
    for chunk in groups(wallets, WALLETS_AT_ONCE):
        total += meter_wallets(chunk, rows)
        checkpoint("metered")
    return total


def meter_wallets(wallet_ids: Sequence[UUID], rows: Any) -> int:
    """Charge the resources of these wallets, in one transaction."""
    with transaction.atomic():
        lock_wallets(wallet_ids)
        now = clock.now()
        resources = read_metered(rows.filter(wallet__in=wallet_ids))
        spans = [span for one in resources if (span := span_of(one, now)) is not None]
        write_spans(spans)
        checkpoint("spans_written")
        charge(charges_of(spans))
        checkpoint("spans_charged")
        close_ended(resources, now)
    return len(spans)


def read_metered(rows: Any) -> list[Metered]:
    """Return the rows of a query of MeteredResource, as the meter needs them."""
    return list(map(Metered._make, rows.values_list(*COLUMNS)))


def span_of(resource: Metered, now: datetime) -> Span | None:
    """Return the whole seconds of a resource that are not charged yet, None if there are none."""
    if not resource.billable:
        return None
    since = resource.billed_until or resource.started_at
    whole = (chargeable_until(resource, now) - since) // SECOND
    return Span(resource, since, since + whole * SECOND) if whole > 0 else None


def chargeable_until(resource: Metered, now: datetime) -> datetime:
    """Return up to when a resource may be charged at this moment."""
    if resource.cut_off or resource.stopped_at is None:
        # What is to end is charged no further until its stop is known, and what was cut off never is.
        return min(moment for moment in (resource.ending_at, resource.stopped_at, now) if moment is not None)
    return min(resource.stopped_at, now)


def write_spans(spans: Sequence[Span]) -> None:
    """Note what is charged, before it is."""
    if not spans:
        return
    ids, until = array_text(span.resource.pk for span in spans), array_text(span.until for span in spans)
    with connection.cursor() as cursor:
        cursor.execute(SPANS, [ids, array_text(span.since for span in spans), until])
        cursor.execute(ADVANCE, [ids, until])


def charges_of(spans: Sequence[Span]) -> list[Charge]:
    """Return the charges of spans, cut where a grant of their wallet begins or ends."""
    if not spans:
        return []
    first, last = min(span.since for span in spans), max(span.until for span in spans)
    moments = boundaries_between({span.resource.wallet_id for span in spans}, first=first, last=last)
    return [made for span in spans for made in cut(span, moments.get(span.resource.wallet_id, []))]


def cut(span: Span, moments: Iterable[datetime]) -> Iterator[Charge]:
    """Return the charges of one span: a second in which a grant begins or ends belongs to the former grants."""
    since = span.since
    inner = [span.since + -((span.since - moment) // SECOND) * SECOND for moment in moments if span.since < moment < span.until]
    for until in [*inner, span.until]:
        if until > since:
            yield charge_of(span.resource, since, until)
            since = until


def charge_of(resource: Metered, since: datetime, until: datetime) -> Charge:
    """Return the charge of whole seconds of a resource."""
    seconds = (until - since) // SECOND
    return Charge(
        key=f"instance:{resource.pk}:{int(since.timestamp() * 1000)}",
        wallet_id=resource.wallet_id,
        deployment_id=resource.deployment_id,
        price_id=resource.price_id,
        quantity=seconds,
        amount=seconds * resource.rate,
        from_at=since,
        to_at=until,
    )


def close_ended(resources: Iterable[Metered], now: datetime) -> None:
    """Close what has stopped, or was cut off and is charged up to there; what was reserved for it is free again."""
    ends = [(one, one.stopped_at or (one.ending_at if one.cut_off else None)) for one in resources]
    ended = [one for one, end in ends if end is not None and end <= now]
    if ended:
        MeteredResource.objects.filter(pk__in=[one.pk for one in ended]).update(closed_at=now)
    for one in ended:
        release_hold(str(one.pk))


def metered_since() -> datetime | None:
    """Return up to when the running instance that was left out longest is charged; None where none runs."""
    rows = MeteredResource.objects.filter(closed_at=None, billable=True, ending_at=None, started_at__isnull=False)
    found: datetime | None = rows.aggregate(since=Min(Coalesce("billed_until", "started_at")))["since"]
    return found


def register_instance(*, resource_id: UUID, wallet_id: UUID, deployment_id: UUID, price_id: int) -> None:
    """Tell the meter of an instance that is about to be started. Again changes nothing."""
    MeteredResource.objects.get_or_create(
        pk=resource_id, defaults={"wallet_id": wallet_id, "deployment_id": deployment_id, "price_id": price_id}
    )


def note_instance(
    resource_id: UUID,
    *,
    started_at: datetime | None = None,
    billable: bool = False,
    ending_at: datetime | None = None,
    stopped_at: datetime | None = None,
    cut_off: bool = False,
) -> None:
    """Tell the meter what became of an instance; what it knows already stays. One that is unknown (it costs nothing) is no error.

    `billable`: it was healthy once. `ending_at`: somebody asked for its end, or it failed. `cut_off`: it failed or got stuck, so nothing is
    charged beyond `ending_at`, nor at all if it was never healthy.
    """
    told = {"started_at": started_at, "ending_at": ending_at, "stopped_at": stopped_at}
    news: dict[str, Any] = {name: Coalesce(F(name), Value(moment)) for name, moment in told.items() if moment is not None}
    if billable:
        # What was given up before it was of use stays free, whoever sees it healthy afterwards.
        news["billable"] = Case(When(cut_off=True, then=F("billable")), default=Value(value=True))
    if cut_off:
        news["cut_off"] = True
    if news:
        MeteredResource.objects.filter(pk=resource_id).update(**news)


def forget_instance(resource_id: UUID) -> None:
    """Close an instance that its provider never started or that is gone: nothing is charged any more, and what was reserved is free."""
    free = MeteredResource.objects.filter(pk=resource_id, closed_at=None).filter(Q(started_at=None) | Q(billable=False))
    wallet = free.values_list("wallet_id", flat=True).first()
    if wallet is None:
        return
    with transaction.atomic():
        # The wallet before the resource, as the meter does.
        lock_wallets([wallet])
        if free.update(closed_at=clock.now()):
            release_hold(str(resource_id))


def groups(values: Sequence[UUID], size: int) -> Iterator[Sequence[UUID]]:
    """Return slices of a list."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
