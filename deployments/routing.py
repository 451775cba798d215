"""The route table in Valkey, which the gateways read. PostgreSQL is the truth; this copy is repaired whenever it is looked at."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict
from typing import Any
from uuid import UUID

import redis
from django.db import transaction

from controlplane.common.clock import milliseconds
from controlplane.common.valkey import valkey
from deployments.models import Deployment
from deployments.selectors import route_of
from deployments.states import Status

logger = logging.getLogger(__name__)

CHANNEL = "sw:routes"
REPAIRED_AT_ONCE = 500
UPDATED = re.compile(rb'"updated":([0-9]{1,18})[,}]')

# KEYS[1] route, ARGV: new text, `updated`, channel, slug. An older route never replaces a newer one; nothing new is not announced.
SET_UNLESS_OLDER = """
local former = redis.call('GET', KEYS[1])
if former == ARGV[1] then return 0 end
if former and cjson.decode(former).updated > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
"""


def route_key(slug: str) -> str:
    """Return the key of an endpoint's route."""
    return f"sw:route:{slug}"


def publish_on_commit(pk: UUID) -> None:
    """Publish a deployment's route once the present transaction is committed."""

    def publish() -> None:
        publish_route(pk)

    # A named function: Django logs a robust hook that fails by its __qualname__, which a partial lacks.
    transaction.on_commit(publish, robust=True)


def forget_on_commit(slug: str) -> None:
    """Have gateways ask PostgreSQL for a route once the present transaction is committed.

    For what has never served: a route for each of its steps would cost more than all else that they do.
    """

    def forget() -> None:
        try:
            told = valkey().pipeline(transaction=False)
            told.delete(route_key(slug))
            told.publish(CHANNEL, slug)
            told.execute()
        except redis.RedisError as error:
            logger.warning("route of %s not forgotten: %s", slug, error)

    transaction.on_commit(forget, robust=True)


def publish_route(pk: UUID) -> None:
    """Write a deployment's route, or remove it when there is none any more, and tell the gateways if something changed.

    A Valkey that does not answer is no error here: the reconciler publishes again at its next look, and gateways ask PostgreSQL on a miss.
    """
    rows = Deployment.objects.select_related("workflow__project", "wanted_version").defer("wanted_version__data")
    deployment = rows.filter(pk=pk).first()
    if deployment is None:
        return
    route = route_of(deployment)
    try:
        if route is None:
            remove_route(deployment.slug)
        else:
            text = json.dumps(asdict(route), separators=(",", ":"))
            valkey().eval(SET_UNLESS_OLDER, 1, route_key(route.slug), text, str(route.updated), CHANNEL, route.slug)
    except redis.RedisError as error:
        logger.warning("route of %s not published: %s", pk, error)


def repair_routes() -> int:
    """Publish again every route that is not of its deployment's last change: Valkey did not answer, lost its last moments, or another machine's
    clock was ahead. Returns how many. One that the table does not have at all is no fault: gateways ask PostgreSQL then.
    """
    rows = list(Deployment.objects.exclude(status=Status.DELETED).values_list("slug", "updated_at"))
    stale = []
    try:
        for start in range(0, len(rows), REPAIRED_AT_ONCE):
            batch = rows[start : start + REPAIRED_AT_ONCE]
            texts: Any = valkey().mget([route_key(slug) for slug, _ in batch])
            for (slug, changed), text in zip(batch, texts, strict=True):
                if not text or text.endswith(b'"updated":%d}' % milliseconds(changed)):
                    continue
                stale.append(slug)
                if updated_in(text) > milliseconds(changed):
                    # Nothing older replaces it, so it has to go first.
                    valkey().delete(route_key(slug))
    except redis.RedisError as error:
        logger.info("routes not compared: %s", error)
        return 0
    if stale:
        for pk in Deployment.objects.filter(slug__in=stale).values_list("pk", flat=True):
            publish_route(pk)
    return len(stale)


def updated_in(text: bytes) -> int:
    """Return the `updated` of a route, 0 where there is none."""
    found = UPDATED.search(text)
    return int(found[1]) if found else 0


def remove_route(slug: str) -> None:
    """Take an endpoint out of the table and tell the gateways."""
    if valkey().delete(route_key(slug)):
        valkey().publish(CHANNEL, slug)
