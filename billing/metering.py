"""The meter: the time of instances, in whole seconds, into charges; each second once, whoever meters and however often.

The room above says when an instance started, was of use, is to end, and stopped (`note_instance`); the meter charges what lies between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, F, Min, Q, Value, When
from django.db.models.functions import Coalesce

from billing.caps import review_caps
from billing.charging import CHARGE, Charge, boundaries_between, charge
from billing.checkpoints import checkpoint
from billing.funding import review_wallets
from billing.holds import release_hold
from billing.models import MeteredResource, Unit
from billing.overcharges import Closed, give_back_excess
from billing.wallets import lock_wallets
from controlplane.common import clock
from controlplane.common.arrays import array_text
from controlplane.common.clock import milliseconds

# Wallets that one transaction meters: their locks are held that long, and usage waits for them.
WALLETS_AT_ONCE = 100
SECOND = timedelta(seconds=1)
OPEN = """closed_at IS NULL AND started_at IS NOT NULL AND resource.wallet_id = ANY(%(wallets)s::uuid[])
    AND (%(chosen)s::uuid[] IS NULL OR resource.id = ANY(%(chosen)s::uuid[]))"""
# As chargeable_until and span_of say it, for all resources at once.
DUE = f"""
due AS (
    SELECT resource.id, resource.wallet_id, deployment_id, price_id, micro_credits, COALESCE(billed_until, started_at) AS since,
        CASE WHEN cut_off OR stopped_at IS NULL THEN LEAST(ending_at, stopped_at, %(now)s) ELSE LEAST(stopped_at, %(now)s) END AS until
    FROM billing_meteredresource resource JOIN billing_price ON billing_price.id = price_id WHERE billable AND {OPEN}
), whole AS (
    SELECT *, floor(extract(epoch FROM until - since))::bigint AS seconds FROM due WHERE until >= since + interval '1 second'
), span AS MATERIALIZED (
    SELECT *, since + seconds * interval '1 second' AS upto, row_number() OVER (ORDER BY id) AS n FROM whole
), spans AS (
    INSERT INTO billing_billedspan (resource_id, span) SELECT id, tstzrange(since, upto) FROM span
), advanced AS (
    UPDATE billing_meteredresource SET billed_until = upto FROM span WHERE billing_meteredresource.id = span.id
),"""  # noqa: S608
FROM_DUE = """(
    SELECT 'instance:' || lpad((extract(epoch FROM since) * 1000)::bigint::text, 13, '0') || ':' || id, wallet_id, deployment_id, price_id, seconds,
        seconds * micro_credits, since, upto, n FROM span
)"""
DIVIDED = """
SELECT DISTINCT resource.wallet_id FROM billing_meteredresource resource JOIN billing_grant USING (wallet_id)
WHERE closed_at IS NULL AND started_at IS NOT NULL AND billable AND wallet_id = ANY(%(wallets)s::uuid[]) AND (
    (starts_at > COALESCE(billed_until, started_at) AND starts_at < %(now)s)
    OR (expires_at > COALESCE(billed_until, started_at) AND expires_at < %(now)s))
"""
END = "CASE WHEN cut_off THEN LEAST(ending_at, stopped_at) ELSE stopped_at END"
# Where the stop came to be known since the time was charged, something is still due: that is for the next tick.
CLOSE = f"""
UPDATE billing_meteredresource resource SET closed_at = %(now)s
WHERE {OPEN} AND COALESCE(stopped_at, CASE WHEN cut_off THEN ending_at END) <= %(now)s
    AND (NOT billable OR {END} < COALESCE(billed_until, started_at) + interval '1 second')
RETURNING id, deployment_id, started_at, billed_until, {END}
"""  # noqa: S608
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


def meter(*, resource_ids: Iterable[UUID] | None = None, threads: int = 1) -> int:
    """Charge the time of all instances up to now (or of these); return how many spans were charged. `threads` share the wallets.

    Can be repeated, overlap, and be killed at any moment: under the wallets' locks each resource tells how far it is charged, and the exclusion of
    spans refuses what would be charged twice.
    """
    rows = MeteredResource.objects.filter(closed_at=None, started_at__isnull=False).filter(Q(billable=True) | Q(cut_off=True))
    chosen = None if resource_ids is None else list(resource_ids)
    if chosen is not None:
        rows = rows.filter(pk__in=chosen)
    wallets = list(rows.order_by("wallet_id").values_list("wallet_id", flat=True).distinct())
    chunks = list(groups(wallets, WALLETS_AT_ONCE))
    if threads == 1 or len(chunks) < threads:
        return sum(meter_wallets(chunk, chosen) for chunk in chunks)
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(partial(meter_share, chosen=chosen), [chunks[number::threads] for number in range(threads)]))


def meter_share(chunks: Sequence[Sequence[UUID]], *, chosen: list[UUID] | None) -> int:
    """Charge some of the wallets, in a thread of its own."""
    try:
        return sum(meter_wallets(chunk, chosen) for chunk in chunks)
    finally:
        connection.close()


def meter_wallets(wallet_ids: Sequence[UUID], chosen: list[UUID] | None) -> int:
    """Charge the resources of these wallets (or only the `chosen` ones), in one transaction."""
    with transaction.atomic():
        lock_wallets(wallet_ids)
        now = clock.now()
        divided = divided_wallets(wallet_ids, now)
        charged = charge_undivided(set(wallet_ids) - divided, chosen, now) + charge_divided(divided, chosen, now)
        checkpoint("spans_charged")
        close_ended(wallet_ids, chosen, now)
    checkpoint("metered")
    return charged


def divided_wallets(wallet_ids: Iterable[UUID], now: datetime) -> set[UUID]:
    """Return those of the wallets with a grant that begins or ends in the time that is to be charged: not one in a thousand."""
    with connection.cursor() as cursor:
        cursor.execute(DIVIDED, {"wallets": array_text(wallet_ids), "now": now})
        return {pk for (pk,) in cursor.fetchall()}


def charge_undivided(wallet_ids: Iterable[UUID], chosen: list[UUID] | None, now: datetime) -> int:
    """Charge resources whose grants are the same for the whole time: spans, charges and postings in one statement."""
    given: dict[str, Any] = {"wallets": array_text(wallet_ids), "now": now, "unit": Unit.MICRO_CREDIT.value}
    given["chosen"] = None if chosen is None else array_text(chosen)
    with connection.cursor() as cursor:
        cursor.execute(CHARGE.format(before=DUE, given=FROM_DUE, counted="count(*)"), given)
        charged, payers = cursor.fetchone()
    if payers:
        review_wallets(payers)
        review_caps(payers)
    return int(charged)


def charge_divided(wallet_ids: Iterable[UUID], chosen: list[UUID] | None, now: datetime) -> int:
    """Charge resources span by span, each cut where a grant begins or ends."""
    rows = MeteredResource.objects.filter(wallet__in=wallet_ids, closed_at=None, started_at__isnull=False, billable=True)
    if chosen is not None:
        rows = rows.filter(pk__in=chosen)
    spans = [span for one in read_metered(rows) if (span := span_of(one, now)) is not None]
    write_spans(spans)
    charge(charges_of(spans))
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
        # The time first: keys that are made together lie together in their index.
        key=f"instance:{milliseconds(since):013}:{resource.pk}",
        wallet_id=resource.wallet_id,
        deployment_id=resource.deployment_id,
        price_id=resource.price_id,
        quantity=seconds,
        amount=seconds * resource.rate,
        from_at=since,
        to_at=until,
    )


def close_ended(wallet_ids: Iterable[UUID], chosen: list[UUID] | None, now: datetime) -> None:
    """Close what has stopped, or was cut off, and is charged up to there: what was reserved for it is free again, and what was charged beyond,
    while nobody knew of the stop, is given back.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLOSE, {"wallets": array_text(wallet_ids), "now": now, "chosen": None if chosen is None else array_text(chosen)})
        ended = [Closed(*row) for row in cursor.fetchall()]
    for one in ended:
        give_back_excess(one)
        release_hold(str(one.pk))


def metered_since() -> datetime | None:
    """Return up to when the running instance that was left out longest is charged; None where none runs."""
    rows = MeteredResource.objects.filter(closed_at=None, billable=True, ending_at=None, started_at__isnull=False)
    found: datetime | None = rows.aggregate(since=Min(Coalesce("billed_until", "started_at")))["since"]
    return found


def register_instance(*, resource_id: UUID, wallet_id: UUID, deployment_id: UUID, price_id: int) -> None:
    """Tell the meter of an instance that is about to be started. Again changes nothing."""
    row = MeteredResource(pk=resource_id, wallet_id=wallet_id, deployment_id=deployment_id, price_id=price_id)
    MeteredResource.objects.bulk_create([row], ignore_conflicts=True)


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
    charged beyond `ending_at`, nor at all if it was never healthy. A stop that comes to be known after the account was closed opens it once
    more if more was charged than that.
    """
    told = {"started_at": started_at, "ending_at": ending_at, "stopped_at": stopped_at}
    news: dict[str, Any] = {name: Coalesce(F(name), Value(moment)) for name, moment in told.items() if moment is not None}
    if billable:
        # What was given up before it was of use stays free, whoever sees it healthy afterwards.
        news["billable"] = Case(When(cut_off=True, then=F("billable")), default=Value(value=True))
    if cut_off:
        news["cut_off"] = True
    if stopped_at is not None:
        news["closed_at"] = Case(When(stopped_at=None, billed_until__gt=stopped_at, then=None), default=F("closed_at"))
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
