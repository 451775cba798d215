"""From a slug to the deployment behind it: a cache of the route table in Valkey, which itself is a cache of PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.database import Database
from gateway.errors import NotFound, PaymentRequired, SlipwayError, Unavailable
from gateway.gate import Gate
from gateway.run import About, Replica
from gateway.valkey import Valkey

logger = logging.getLogger("gateway.routes")

CHANNEL = "sw:routes"
FRESH = 30.0
FRESH_UNKNOWN = 1.0
CACHED = 10_000
FROM_DATABASE_MS = 60_000
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
SERVING = {"RUNNING", "UPDATING"}
# What billing says of a deployment: the code that callers get, and what they can do.
STOPS = {
    "NO_CREDITS": ("no_credits", "Add credits; then it takes runs again at once."),
    "SPEND_CAP": ("spend_cap_reached", "Raise or remove the spend cap; then it takes runs again."),
}
# Why one is suspended, and what to do.
SUSPENSIONS = {
    "NO_CREDITS": ("the workspace has no credits", "Add credits and resume it."),
    "SPEND_CAP": ("a spend cap is reached", "Raise or remove the cap, then resume it."),
}


class Reason(msgspec.Struct, frozen=True):
    """Why a deployment is in its state."""

    code: str = ""
    detail: str = ""


class Route(msgspec.Struct, frozen=True, dict=True):
    """A deployment as the gateway needs it.

    `asleep`: it has no replica because nobody called; a run that waits for one wakes it. `stop`: why nobody pays for its runs now.
    `calls_a_minute`: the runs that all endpoints of the workspace start in a minute, None without a limit; `plan`: the name of the plan that says
    so, "" for a workspace without one, None in routes of a release that told none.
    """

    slug: str
    deployment: str
    workflow: str
    project: str
    namespace: str
    product: str
    status: str
    tag: str | None = None
    reason: Reason | None = None
    replicas: tuple[Replica, ...] = ()
    asleep: bool = False
    stop: Reason | None = None
    workspace: str = ""
    calls_a_minute: int | None = None
    plan: str | None = None
    updated: int = 0

    @property
    def about(self) -> About:
        """What run records say of it."""
        return About(self.slug, self.deployment, self.workflow, self.project, self.namespace, self.product)

    @property
    def about_json(self) -> bytes:
        """`about`, encoded once."""
        if (encoded := self.__dict__.get("encoded")) is None:
            encoded = self.__dict__["encoded"] = msgspec.json.encode(self.about)
        return bytes(encoded)


@dataclass(slots=True)
class _Entry:
    route: Route | None
    until: float


class RouteTable:
    """Routes by slug, at most 30 s old even when no invalidation arrives."""

    def __init__(self, valkey: Valkey, database: Database) -> None:
        self._valkey = valkey
        self._database = database
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._loading: dict[str, asyncio.Future[Route | None]] = {}
        self._changes: dict[str, Gate] = {}

    async def get(self, slug: str) -> Route | None:
        """Return the route, or None when no deployment has this slug. Raises `Unavailable`."""
        entry = self._entries.get(slug)
        if entry is not None and entry.until > time.monotonic():
            return entry.route
        if not SLUG.fullmatch(slug):
            return None
        if (loading := self._loading.get(slug)) is None:
            loading = self._loading[slug] = asyncio.ensure_future(self._load(slug))
            loading.add_done_callback(lambda ended: self._loading.pop(slug) if self._loading.get(slug) is ended else None)
        return await asyncio.shield(loading)

    def peek(self, slug: str) -> Route | None:
        """Return the route without asking anybody, though it may be older than 30 s; None when it must be read."""
        entry = self._entries.get(slug)
        return entry.route if entry else None

    def forget(self, slug: str) -> None:
        """A route changed: read it again next time."""
        self._entries.pop(slug, None)
        if (loading := self._loading.pop(slug, None)) is not None:
            loading.add_done_callback(lambda _: self._entries.pop(slug, None))
        if (gate := self._changes.get(slug)) is not None:
            gate.poke()

    def forget_all(self) -> None:
        """Changes may have been missed: read everything again."""
        for slug in [*self._entries, *self._loading, *self._changes]:
            self.forget(slug)

    async def wait_for_change(self, slug: str, limit: float) -> None:
        """Return when the route has changed since it was read, after `limit` seconds at the latest."""
        if slug not in self._entries:
            return
        gate = self._changes.setdefault(slug, Gate())
        gate.users += 1
        try:
            await gate.wait(limit)
        finally:
            gate.users -= 1
            if not gate.users and self._changes.get(slug) is gate:
                del self._changes[slug]

    def addresses(self) -> set[str]:
        """Return the addresses of all cached replicas."""
        return {replica.address for entry in self._entries.values() if entry.route for replica in entry.route.replicas}

    async def _load(self, slug: str) -> Route | None:
        stored = await self._valkey.command("GET", f"sw:route:{slug}")
        route = decode_route(stored) if stored is not None else None
        if route is None:
            route = await self._load_from_database(slug)
        self._entries[slug] = _Entry(route, time.monotonic() + (FRESH if route else FRESH_UNKNOWN))
        self._entries.move_to_end(slug)
        while len(self._entries) > CACHED:
            self._entries.popitem(last=False)
        return route

    async def _load_from_database(self, slug: str) -> Route | None:
        try:
            found: Any = await self._database.route_for_slug(slug)
        except SlipwayError:
            raise
        except Exception as error:
            logger.exception("Cannot read the route of %s", slug)
            raise Unavailable("routes_unavailable", "The table of deployments does not answer. Try again in a moment.") from error
        if found is None:
            return None
        route = msgspec.convert(msgspec.to_builtins(found), Route)
        # Only where there is none, and not for ever: the control plane may have written or deleted it in the meantime.
        await self._valkey.command("SET", f"sw:route:{slug}", msgspec.json.encode(route), "NX", "PX", FROM_DATABASE_MS)
        return route


def decode_route(stored: bytes) -> Route | None:
    """Return the route of a stored value; an unreadable one counts as missing."""
    try:
        return msgspec.json.decode(stored, type=Route)
    except msgspec.MsgspecError:
        logger.exception("Unreadable route: %r", stored[:500])
        return None


def refusal(route: Route) -> SlipwayError | None:
    """Return why a deployment takes no runs now, or None. An old version that still serves takes them in any other state."""
    why = f" {route.reason.detail}" if route.reason and route.reason.detail else ""
    fields = {"status": route.status, "reason": msgspec.to_builtins(route.reason)}
    if route.status in {"DELETING", "DELETED"}:
        return NotFound("deployment_deleted", "This deployment was deleted.", fields=fields)
    if route.status == "SUSPENDED":
        lead, remedy = SUSPENSIONS.get(route.reason.code if route.reason else "", SUSPENSIONS["NO_CREDITS"])
        return PaymentRequired("deployment_suspended", f"This deployment is suspended: {lead}.{why} {remedy}", fields=fields)
    if route.status == "PAUSED":
        return Unavailable("deployment_paused", f"This deployment is paused.{why} Resume it to run it.", fields=fields)
    if route.stop:
        code, remedy = STOPS.get(route.stop.code, STOPS["NO_CREDITS"])
        return PaymentRequired(
            code, f"{route.stop.detail} {remedy}", fields={"status": route.status, "reason": msgspec.to_builtins(route.stop)}
        )
    if route.status in SERVING or route.replicas:
        return None
    return Unavailable("deployment_not_running", f"This deployment is {route.status}, not RUNNING.{why}", fields=fields)
