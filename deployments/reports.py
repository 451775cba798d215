"""Runs as gateways report them: one entry of the stream, checked and priced. Thousands come each second, so ids stay text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from billing.pricing import cost_of_run
from deployments.models import UsageEvent
from deployments.offers import offers

# A year: no run takes longer, and sums must not overflow.
MOST_MS = 366 * 24 * 3600 * 1000
# The last moment that Python knows, in milliseconds since 1970.
LAST_MS = 253_402_300_799_999
STATES = {b"SUCCESS": "SUCCESS", b"FAILURE": "FAILURE"}
OFFERS = {offer.product: offer for offer in offers()}
IS_UUID = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch


class Report(NamedTuple):
    """A run as a gateway reports it, priced in micro-credits: what becomes a UsageEvent. `ended_ms` is milliseconds since 1970."""

    run: str
    deployment_id: str
    workflow_id: str
    project_id: str
    namespace_id: str
    product: str
    state: str
    duration_ms: int
    ended_ms: int
    micro_credits: int
    revision: int | None
    fault: bool

    @property
    def ended_at(self) -> datetime:
        """Return when it ended."""
        return datetime.fromtimestamp(self.ended_ms / 1000, UTC)


def parse_event(fields: Mapping[bytes, bytes]) -> Report:
    """Return the priced report of one entry. Raises KeyError, ValueError or LookupError for what cannot be."""
    duration, ended = int(fields[b"duration_ms"]), int(fields[b"ended_at"])
    if not 0 <= duration <= MOST_MS:
        raise ValueError(f"no duration: {duration} ms")
    if not 0 <= ended <= LAST_MS:
        raise ValueError(f"no time: {ended} ms")
    given = fields.get(b"revision", b"")
    revision = int(given) if given else None
    if revision is not None and not 0 <= revision < 2**31:
        raise ValueError(f"no revision: {revision}")
    offer = OFFERS.get(fields[b"product"].decode())
    if offer is None:
        raise LookupError(f"no product '{fields[b'product'].decode()}'")
    state = STATES.get(fields[b"state"])
    if state is None:
        raise ValueError(f"no state '{fields[b'state'].decode()}'")
    return Report(
        checked_id(fields[b"run"]),
        known_id(fields[b"deployment"]),
        known_id(fields[b"workflow"]),
        known_id(fields[b"project"]),
        known_id(fields[b"namespace"]),
        offer.product,
        state,
        duration,
        ended,
        cost_of_run(offer.price, duration_ms=duration),
        revision,
        fields.get(b"fault") == b"1",
    )


def checked_id(text: bytes) -> str:
    """Return an id as PostgreSQL reads it. Raises ValueError."""
    return text.decode() if IS_UUID(text) else str(UUID(text.decode()))


@lru_cache(maxsize=10_000)
def known_id(text: bytes) -> str:
    """Return an id that comes again and again. Raises ValueError."""
    return checked_id(text)


def report_of(event: UsageEvent) -> Report:
    """Return what a gateway would have reported of a run that is written down."""
    return Report(
        run=str(event.run),
        deployment_id=str(event.deployment_id),
        workflow_id=str(event.workflow_id),
        project_id=str(event.project_id),
        namespace_id=str(event.namespace_id),
        product=event.product,
        state=event.state,
        duration_ms=event.duration_ms,
        ended_ms=round(event.ended_at.timestamp() * 1000),
        micro_credits=event.micro_credits,
        revision=event.revision,
        fault=event.fault,
    )
