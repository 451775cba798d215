"""Usage: from the gateways' stream to rows, each run once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db import DataError, IntegrityError, InterfaceError, OperationalError, transaction

from billing.checkpoints import checkpoint
from billing.runs import RunsUsed, charge_runs, charge_written, lock_payers
from deployments.alerts import raise_alert
from deployments.announcements import announce_runs
from deployments.models import AlertKind, UsageEvent
from deployments.paying import open_missing_accounts
from deployments.reports import OFFERS, Report, parse_event, report_of
from deployments.usage_partitions import oldest_run
from deployments.usage_stream import REFUSED_STREAM, Entry, give_back, take_out
from deployments.usage_sums import NewRuns, insert_events, writing_of

logger = logging.getLogger(__name__)

# What every report of one run tells alike. Times are those of the gateway that ended it: one that slept may tell it late.
SAME_IN_ALL_REPORTS = ("deployment_id", "product", "state", "duration_ms")
ENDED_APART_MS = 15 * 60 * 1000
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of the stream, read: each is in `parsed` or in `refused`, with the reason."""

    parsed: list[tuple[Report, Entry]]
    refused: list[tuple[Entry, str]]


def read(entries: list[Entry]) -> Batch:
    """Read and price entries. A run from before those that are kept may have been counted: nobody knows."""
    batch = Batch([], [])
    oldest = oldest_run()
    for entry in entries:
        try:
            batch.parsed.append((young_enough(parse_event(entry[1]), oldest), entry))
        except (KeyError, ValueError, OverflowError, LookupError) as error:
            batch.refused.append((entry, str(error)))
    return batch


def young_enough(report: Report, oldest: str) -> Report:
    """Return the report, unless its run began before the oldest one that is kept. Raises ValueError."""
    if report.run < oldest:
        raise ValueError("older than the runs that are kept (USAGE_RETENTION_DAYS), so it may have been counted before")
    return report


def keep(entries: list[Entry]) -> int:
    """Write entries of the stream to UsageEvent, its sums and the ledger, and take them out; return how many.

    At least once in, exactly once kept and charged: rows are inserted by run id (a repeated one is left alone) and entries are taken out of the
    stream after the commit. Entries of a process that died are taken over after 30 seconds; while the database does not answer (raises
    OperationalError or InterfaceError), they are everybody's again at once. An entry that cannot be read or priced, or that tells another
    run under the id of one that is kept, is moved to `sw:usage:refused`, and operators are alerted.
    """
    try:
        take_out(entries, store(read(entries)))
    except (InterfaceError, OperationalError):
        give_back(entries)
        raise
    return len(entries)


def store(batch: Batch, *, again: bool = True) -> list[tuple[Entry, str]]:
    """Insert, charge, commit; return the entries that are refused, with the reasons.

    What the database refuses is found by halves, so that one entry holds up nothing. One alone is tried `again`: it may have been on its way to a
    partition while another one was made for it.
    """
    try:
        return write(batch.parsed, batch.refused)
    except (DataError, IntegrityError) as error:
        if len(batch.parsed) <= 1 and again:
            return store(batch, again=False)
        if len(batch.parsed) <= 1:
            return write([], batch.refused + [(entry, f"the database refuses it: {error}") for _, entry in batch.parsed])
        half = len(batch.parsed) // 2
        return store(Batch(batch.parsed[:half], batch.refused)) + store(Batch(batch.parsed[half:], []))


def write(parsed: list[tuple[Report, Entry]], refused: list[tuple[Entry, str]]) -> list[tuple[Entry, str]]:
    """Write runs, their sums and their charges in one transaction; return what is refused, of which operators are told in it."""
    events = [event for event, _ in parsed]
    with transaction.atomic():
        if events and write_events(events) < len(events):
            refused = refused + other_runs(parsed)
        announce_runs(events)
        if refused:
            alert_operators(refused)
    checkpoint("usage_committed")
    return refused


def write_events(events: Sequence[Report]) -> int:
    """Write runs, their sums and their charges; return how many were new.

    Nearly all are charged in the statement that writes them. Those of workspaces with free runs or with credits that begin or end meanwhile, and
    those of deployments that billing does not know, go their own way.
    """
    times = [event.ended_ms for event in events]
    ids = {event.deployment_id for event in events}
    payers = lock_payers(ids, first=minute_of(min(times)), last=minute_of(max(times)))
    plain = events if payers.at_once == ids else [event for event in events if event.deployment_id in payers.at_once]
    new = 0
    if plain:
        new += charge_written(*writing_of(plain), products={(name, OFFERS[name].price) for name in {event.product for event in plain}})
    if len(plain) < len(events):
        found = insert_events([event for event in events if event.deployment_id not in payers.at_once], one_by_one=payers.one_by_one)
        charge_new(found, {UUID(pk) for pk in payers.one_by_one})
        new += sum(one.runs for one in found)
    return new


def minute_of(ended_ms: int) -> datetime:
    """Return the minute (UTC) of a moment in milliseconds since 1970."""
    return datetime.fromtimestamp(ended_ms // MINUTE_MS * 60, UTC)


def charge_new(new: Sequence[NewRuns], one_by_one: Collection[UUID]) -> None:
    """Charge runs that were not known before. Operators are told of those that nobody can be charged for."""
    used = [used_of(one) for one in new if one.micro_credits]
    unknown = charge_runs(used, one_by_one=one_by_one)
    if unknown and (known := open_missing_accounts(unknown)):
        unknown = charge_runs([one for one in used if one.deployment_id in known], one_by_one=one_by_one) | (unknown - known)
    for deployment in unknown:
        raise_alert(
            AlertKind.USAGE_REFUSED,
            str(deployment),
            detail=f"Runs of the deployment {deployment} are counted and not charged: nobody has it.",
        )


def used_of(new: NewRuns) -> RunsUsed:
    """Return what billing charges."""
    return RunsUsed(
        deployment_id=new.deployment_id,
        product=new.product,
        rate=OFFERS[new.product].price,
        minute=new.minute,
        runs=new.runs,
        milliseconds=new.duration_ms,
        first=new.first,
    )


def other_runs(parsed: list[tuple[Report, Entry]]) -> list[tuple[Entry, str]]:
    """Return the entries whose run is kept already but was another one: executed, and neither counted nor charged."""
    kept = {str(run): one for run, one in UsageEvent.objects.in_bulk([event.run for event, _ in parsed]).items()}
    return [(entry, f"another run is kept as {event.run}: {kept[event.run]}") for event, entry in parsed if differs(event, kept[event.run])]


def differs(event: Report, kept: UsageEvent) -> bool:
    """Tell whether two reports are of two executions. Gateways that both ended a run tell one duration, and times that hardly differ."""
    before = report_of(kept)
    if any(getattr(event, name) != getattr(before, name) for name in SAME_IN_ALL_REPORTS):
        return True
    return abs(event.ended_ms - before.ended_ms) > ENDED_APART_MS


def alert_operators(refused: list[tuple[Entry, str]]) -> None:
    """Tell operators what was put aside."""
    for (key, fields), reason in refused:
        logger.error("usage entry %s refused: %s (%s)", key, reason, fields)
    (_, fields), reason = refused[0]
    run = fields.get(b"run", b"?").decode("utf-8", "replace")[:40]
    detail = f"Runs were executed and not charged. The first: {run}: {reason}. All are on the stream {REFUSED_STREAM} in Valkey (docs/operations.md)."
    raise_alert(AlertKind.USAGE_REFUSED, REFUSED_STREAM, detail=detail)
