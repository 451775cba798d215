"""Usage: from the gateways' stream to rows, each run once."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import redis
from django.db import InterfaceError, OperationalError, transaction

from billing.runs import RunsUsed, charge_runs, paying_by_run
from controlplane.common.valkey import valkey
from deployments.alerts import raise_alert
from deployments.announcements import announce_runs
from deployments.models import AlertKind, UsageEvent
from deployments.paying import open_missing_accounts
from deployments.reports import OFFERS, Report, parse_event
from deployments.usage_sums import NewRuns, insert_events

logger = logging.getLogger(__name__)

STREAM = "sw:usage"
GROUP = "usage"
REFUSED_STREAM = "sw:usage:refused"
BATCH = 1000
BATCHES_A_TICK = 20
RECLAIM_AFTER_MS = 30_000
# What every report of one run tells alike. Times are those of the gateway that ended it: one that slept may tell it late.
SAME_IN_ALL_REPORTS = ("deployment_id", "product", "state", "duration_ms")
ENDED_APART = timedelta(minutes=15)

Entry = tuple[bytes, dict[bytes, bytes]]


def consume_usage() -> int:
    """Write what is in the stream to UsageEvent and its sums; return how many entries were taken.

    At least once in, exactly once kept: rows are inserted by run id (a repeated one is left alone) and entries are taken out of the
    stream after the commit. Entries of a worker that died are taken over after 30 seconds; while the database does not answer (raises
    OperationalError or InterfaceError), they are everybody's again at once. An entry that cannot be read or priced, or that tells another
    run under the id of one that is kept, is moved to `sw:usage:refused` with the reason as `refused`, and operators are alerted.
    """
    ensure_group()
    total = 0
    for _ in range(BATCHES_A_TICK):
        entries = reclaimed_entries() or new_entries()
        if not entries:
            break
        try:
            store(entries)
        except (InterfaceError, OperationalError):
            give_back(entries)
            raise
        total += len(entries)
    return total


def consumer_name() -> str:
    """Return this worker's name in the group."""
    return f"{socket.gethostname()}-{os.getpid()}"


def ensure_group() -> None:
    """Create stream and group; also after Valkey lost its data."""
    try:
        valkey().xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def new_entries() -> list[Entry]:
    """Return entries that nobody has taken yet."""
    answer: Any = valkey().xreadgroup(GROUP, consumer_name(), {STREAM: ">"}, count=BATCH)
    pairs = answer.items() if isinstance(answer, dict) else answer or []
    for _, found in pairs:
        return flat(found)
    return []


def reclaimed_entries() -> list[Entry]:
    """Return entries that a worker took long ago and never finished."""
    answer: Any = valkey().xautoclaim(STREAM, GROUP, consumer_name(), min_idle_time=RECLAIM_AFTER_MS, count=BATCH)
    return flat(answer[1])


def give_back(entries: list[Entry]) -> None:
    """Let the next call take these entries, whichever worker makes it: they count as left lying long ago."""
    valkey().xclaim(STREAM, GROUP, consumer_name(), 0, [key for key, _ in entries], idle=RECLAIM_AFTER_MS, justid=True)


def flat(found: Any) -> list[Entry]:
    """Return (id, fields) pairs of either reply form of the client; entries that were deleted meanwhile have no fields."""
    entries = found[0] if found and isinstance(found[0], list) and found[0] and isinstance(found[0][0], tuple | list) else found
    return [(entry[0], entry[1]) for entry in entries if entry[1]]


def store(entries: list[Entry]) -> None:
    """Insert, commit, then take the entries out of the stream."""
    parsed: list[tuple[Report, Entry]] = []
    refused: list[tuple[Entry, str]] = []
    for entry in entries:
        try:
            parsed.append((parse_event(entry[1]), entry))
        except (KeyError, ValueError, OverflowError, LookupError) as error:
            refused.append((entry, str(error)))
    events = [event for event, _ in parsed]
    deployments = {event.deployment_id for event in events}
    with transaction.atomic():
        new = insert_events(events, one_by_one=paying_by_run(deployments))
        if sum(one.runs for one in new) < len(events):
            refused += other_runs(parsed)
        charge_new(new)
        announce_runs(events)
        if refused:
            alert_operators(refused)
    pipe = valkey().pipeline(transaction=True)
    for (_, fields), reason in refused:
        told: Any = {**fields, "refused": reason}
        pipe.xadd(REFUSED_STREAM, told)
    ids = [key for key, _ in entries]
    pipe.xack(STREAM, GROUP, *ids)
    pipe.xdel(STREAM, *ids)
    pipe.execute()


def charge_new(new: Sequence[NewRuns]) -> None:
    """Charge runs that were not known before. Operators are told of those that nobody can be charged for."""
    used = [used_of(one) for one in new if one.micro_credits]
    unknown = charge_runs(used)
    if unknown and (known := open_missing_accounts(unknown)):
        unknown = charge_runs([one for one in used if one.deployment_id in known]) | (unknown - known)
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
    kept = UsageEvent.objects.in_bulk([event.run for event, _ in parsed])
    return [(entry, f"another run is kept as {event.run}: {kept[event.run]}") for event, entry in parsed if differs(event, kept[event.run])]


def differs(event: Report, kept: UsageEvent) -> bool:
    """Tell whether two reports are of two executions. Gateways that both ended a run tell one duration, and times that hardly differ."""
    if any(getattr(event, name) != getattr(kept, name) for name in SAME_IN_ALL_REPORTS):
        return True
    return abs(event.ended_at - kept.ended_at) > ENDED_APART


def alert_operators(refused: list[tuple[Entry, str]]) -> None:
    """Tell operators what was put aside."""
    for (key, fields), reason in refused:
        logger.error("usage entry %s refused: %s (%s)", key, reason, fields)
    (_, fields), reason = refused[0]
    run = fields.get(b"run", b"?").decode("utf-8", "replace")[:40]
    detail = f"Runs were executed and not charged. The first: {run}: {reason}. All are on the stream {REFUSED_STREAM} in Valkey (docs/operations.md)."
    raise_alert(AlertKind.USAGE_REFUSED, REFUSED_STREAM, detail=detail)
