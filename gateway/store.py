"""The run records in Valkey: what is written, by which script, and what it answers. docs/gateway.md describes the keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gateway.errors import SlipwayError
from gateway.run import About, Outcome, Run, State, Where, now_ms, read_replica
from gateway.settings import Settings
from gateway.valkey import Valkey

STREAM = "sw:usage"
GATEWAYS = "sw:gateways"
OBJECTS = "sw:objects"
SCRIPTS = {path.stem: path.read_bytes() for path in (Path(__file__).parent / "lua").glob("*.lua")}


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as a reader sees it. `result` is JSON, an object's key or a runtime's address: `result_kind` is `inline`, `object` or `runtime`."""

    state: State
    about: About
    accepted_ms: int
    result_kind: str
    result: bytes
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The id that a caller sent belongs to a run that was accepted before, with this digest of its body."""

    about: About
    digest: str


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a heartbeat: whether Valkey did not know this gateway, and which gateways are dead."""

    unknown: bool
    dead: list[str]


class DataLost(Exception):
    """Valkey was emptied, and the gateways have not written their live runs again yet."""


class RunStore:
    """The records of one gateway. All methods may raise `StoreUnavailable`; each may be asked twice without harm."""

    def __init__(self, settings: Settings, gateway: str, on_ready: Callable[[], Awaitable[None]]) -> None:
        self.gateway = gateway
        self.valkey = Valkey(settings.redis_url, SCRIPTS, patience=settings.store_wait, on_ready=on_ready)
        self._mine = f"sw:gateway:{gateway}:runs"
        self._beat = f"sw:gateway:{gateway}"
        self._heartbeat_ms = int(settings.heartbeat_ttl * 1000)
        self._record_ms = int(settings.record_ttl * 1000)
        self._result_ms = int(settings.result_ttl * 1000)
        self._waiting_ms = int(settings.long_poll * 1000) + 10_000

    async def accept(self, run: Run, *, refused: SlipwayError | None = None) -> Taken | None:
        """Write the record of a run; return what was there when the id was taken. Raises `refused`, if given, when there was nothing."""
        payload: bytes | str = run.body if run.where is Where.RECORD else run.payload_key
        answer = await self.valkey.script(
            "accept",
            (record_key(run.id), self._mine),
            run.id,
            self.gateway,
            run.about_json,
            run.digest,
            run.accepted_ms,
            run.where.value,
            payload,
            run.replica.label if run.replica else "",
            run.storage_token,
            self._record_ms,
            1 if run.charge else 0,
            0 if refused else 1,
        )
        if answer[0] == 1:
            return None
        if refused and len(answer) == 1:
            raise refused
        return Taken(msgspec.json.decode(answer[1], type=About), answer[2].decode())

    async def count_call(self, workspace: str, limit: int) -> int:
        """Count a run of a workspace that may start `limit` in a minute. Returns 0, or the milliseconds until it may start another."""
        return int(await self.valkey.script("count", (f"sw:calls:{workspace}",), limit))

    async def place(self, run: Run) -> bool:
        """Note where the payload is now; False when the run is not this gateway's any more."""
        payload: bytes | str = run.body if run.where is Where.RECORD else run.payload_key
        label = run.replica.label if run.replica else ""
        return bool(await self.valkey.script("place", (record_key(run.id),), self.gateway, run.where.value, payload, label))

    async def move(self, run: Run) -> None:
        """Note which replica has the run now."""
        if run.replica is not None:
            await self.valkey.script("move", (record_key(run.id),), self.gateway, run.replica.label)

    async def lacks_payload(self, run_id: str) -> bool:
        """Return whether the payload of this run in flight is in memories only, which may be gone."""
        state, kind = await self.valkey.command("HMGET", record_key(run_id), "state", "kind")
        return bool(state == b"PENDING" and kind == Where.COPIES.value.encode())

    async def supply(self, run: Run) -> None:
        """Give a record that lacks its payload the one of this run, which is the same request sent again."""
        payload: bytes | str = run.body if run.where is Where.RECORD else run.payload_key
        await self.valkey.script("supply", (record_key(run.id),), run.where.value, payload)

    async def discard(self, run: Run) -> None:
        """Forget a run that was refused before its request was answered."""
        await self.valkey.script("discard", (record_key(run.id), self._mine), run.id, self.gateway)

    async def finish(self, run: Run, outcome: Outcome) -> bool:
        """End a run; False when it had ended before (then the record has the result that counts)."""
        about = run.about
        revision = run.replica.revision if run.replica else 0
        ended = await self.valkey.script(
            "finish",
            (record_key(run.id), STREAM),
            run.id,
            self.gateway,
            outcome.state.value,
            outcome.duration_ms,
            outcome.kind,
            outcome.result,
            outcome.ended_ms,
            self._result_ms,
            1 if run.charge else 0,
            run.about_json,
            run.accepted_ms,
            run.digest,
            *("run", run.id, "deployment", about.deployment, "workflow", about.workflow, "project", about.project),
            *("namespace", about.namespace, "product", about.product, "state", outcome.state.value),
            *("duration_ms", outcome.billed_ms, "ended_at", outcome.ended_ms),
            *("revision", revision or "", "fault", "1" if outcome.fault else ""),
        )
        return bool(ended == 1)

    async def look(self, run_id: str, *, wait: bool) -> Seen | None:
        """Return the record, or None; with `wait` this gateway is told when the run ends. The run becomes chargeable.

        Raises `DataLost` when Valkey knows neither the run nor this gateway.
        """
        answer = await self.valkey.script("look", (record_key(run_id), STREAM), run_id, self.gateway, int(wait), self._waiting_ms)
        if len(answer) == 1:
            if not answer[0]:
                raise DataLost
            return None
        state, about, accepted, kind, result, duration = answer
        return Seen(
            State(state.decode()),
            msgspec.json.decode(about, type=About),
            int(accepted),
            kind.decode(),
            result,
            float(duration),
        )

    async def note_known(self, run: Run) -> None:
        """Make a run chargeable: its caller knows of it."""
        await self.valkey.script("look", (record_key(run.id), STREAM), run.id, self.gateway, 0, self._waiting_ms)

    async def beat(self) -> Beat:
        """Say that this gateway lives."""
        answer = await self.valkey.script("beat", (self._beat, GATEWAYS), self.gateway, self._heartbeat_ms)
        return Beat(answer[0] == 1, [name.decode() for name in answer[1:]])

    async def adopt(self, dead: str, limit: int = 100) -> tuple[list[Run], bool]:
        """Take over runs of a dead gateway; the flag tells that it has more."""
        answer = await self.valkey.script("adopt", (GATEWAYS, self._mine), dead, self.gateway, limit)
        fields = answer[1:]
        return [adopted_run(*fields[at : at + 8]) for at in range(0, len(fields), 8)], answer[0] == 1

    async def mine(self) -> set[str]:
        """Return the ids of all runs in flight that Valkey gives to this gateway."""
        return {name.decode() for name in await self.valkey.command("SMEMBERS", self._mine)}

    async def read_own(self, run_id: str) -> Run | None:
        """Return a live run of this gateway from its record, when it has one."""
        names = ("about", "accepted", "kind", "payload", "replica", "token", "digest")
        owner, state, *fields = await self.valkey.command("HMGET", record_key(run_id), "owner", "state", *names)
        if owner is None or owner.decode() != self.gateway or state != b"PENDING":
            return None
        return adopted_run(run_id.encode(), *fields)

    async def secure(self, run_id: str, outcome: Outcome) -> None:
        """Note the lasting place of a result."""
        await self.valkey.script("secure", (record_key(run_id),), outcome.kind, outcome.result, now_ms() + self._result_ms)

    async def expired_objects(self, limit: int = 100) -> list[str]:
        """Return keys of objects whose time is over."""
        found = await self.valkey.command("ZRANGE", OBJECTS, "-inf", now_ms(), "BYSCORE", "LIMIT", 0, limit)
        return [key.decode() for key in found]

    async def forget_object(self, key: str) -> None:
        """An object was deleted."""
        await self.valkey.command("ZREM", OBJECTS, key)

    async def leave(self) -> None:
        """Say good-bye: other gateways take over what is left at once."""
        await self.valkey.command("DEL", self._beat)


def record_key(run_id: str) -> str:
    """Return the key of a run's record."""
    return f"sw:run:{run_id}"


def adopted_run(*fields: bytes) -> Run:
    """Make a live run of a record's fields: id, about, accepted, kind, payload, replica, token, digest."""
    run_id, about, accepted, kind, payload, replica, token, digest = fields
    where = Where(kind.decode())
    return Run(
        id=run_id.decode(),
        about=msgspec.json.decode(about, type=About),
        about_json=about,
        body=payload if where is Where.RECORD else b"",
        where=where,
        payload_key="" if where is Where.RECORD else payload.decode(),
        digest=digest.decode(),
        replica=read_replica(replica.decode()),
        storage_token=token.decode(),
        accepted_ms=int(accepted),
        age=max(0, now_ms() - int(accepted)) / 1000,
        adopted=True,
        recorded=True,
    )
