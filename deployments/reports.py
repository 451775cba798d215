"""Runs as gateways report them: one entry of the stream, read and priced."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from billing.pricing import cost_of_run
from deployments.offers import offers

# A year: no run takes longer, and sums must not overflow.
MOST_MS = 366 * 24 * 3600 * 1000
STATES = {"SUCCESS", "FAILURE"}
OFFERS = {offer.product: offer for offer in offers()}


class Report(NamedTuple):
    """A run as a gateway reports it, priced: the columns of UsageEvent."""

    run: UUID
    deployment_id: UUID
    workflow_id: UUID
    project_id: UUID
    namespace_id: UUID
    product: str
    state: str
    duration_ms: int
    ended_at: datetime
    micro_credits: int
    revision: int | None
    fault: bool


@lru_cache(maxsize=10_000)
def known_uuid(text: str) -> UUID:
    """Return an id that comes again and again. Raises ValueError."""
    return UUID(text)


def parse_event(fields: dict[bytes, bytes]) -> Report:
    """Return the priced row of one entry. Raises KeyError, ValueError or LookupError for what cannot be."""
    text = {name.decode(): value.decode() for name, value in fields.items()}
    duration = int(text["duration_ms"])
    if not 0 <= duration <= MOST_MS:
        raise ValueError(f"no duration: {duration} ms")
    revision = int(text["revision"]) if text.get("revision") else None
    if revision is not None and not 0 <= revision < 2**31:
        raise ValueError(f"no revision: {revision}")
    offer = OFFERS.get(text["product"])
    if offer is None:
        raise LookupError(f"no product '{text['product']}'")
    if text["state"] not in STATES:
        raise ValueError(f"no state '{text['state']}'")
    return Report(
        run=UUID(text["run"]),
        deployment_id=known_uuid(text["deployment"]),
        workflow_id=known_uuid(text["workflow"]),
        project_id=known_uuid(text["project"]),
        namespace_id=known_uuid(text["namespace"]),
        product=offer.product,
        state=text["state"],
        duration_ms=duration,
        ended_at=datetime.fromtimestamp(int(text["ended_at"]) / 1000, UTC),
        micro_credits=cost_of_run(offer.price, duration_ms=duration),
        revision=revision,
        fault=text.get("fault") == "1",
    )
