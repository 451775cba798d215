"""What a run is made of while it is alive in a gateway."""

from __future__ import annotations

import asyncio
import enum
import math
import time
from dataclasses import dataclass, field

import msgspec

from gateway.budget import Reservation
from gateway.gate import Gate


class State(enum.Enum):
    """States of a run as clients read them."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


class Where(enum.Enum):
    """Where the payload of a live run is safe: in its record, twice (this gateway's memory and the runtime's), or in an object."""

    RECORD = "record"
    COPIES = "copies"
    OBJECT = "object"


class Replica(msgspec.Struct, frozen=True):
    """One runtime of a deployment. `address`: `unix:/path`, `http://host:port` or `https://host`; `revision` 0 is not known."""

    id: str
    address: str
    workers: int = 1
    revision: int = 0

    @property
    def label(self) -> str:
        """What a run's record keeps of it: enough to ask it again when it has left the route."""
        return f"{self.id} {self.revision} {self.address}"


def read_replica(label: str) -> Replica | None:
    """Return the replica of a record. One that an older gateway wrote has the id only."""
    name, _, rest = label.partition(" ")
    revision, _, address = rest.partition(" ")
    return Replica(name, address, revision=int(revision or 0)) if name else None


class About(msgspec.Struct, frozen=True):
    """What a record says of the run's deployment: enough to bill it and to find a runtime for it."""

    slug: str
    deployment: str
    workflow: str
    project: str
    namespace: str
    product: str


class Verdict(enum.Enum):
    """What the runtime said first of a new run: it holds the input, it refuses it, it is full; or there is no runtime yet."""

    HELD = "held"
    REFUSED = "refused"
    BUSY = "busy"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Admission:
    """A verdict; of a refusal also the status, the code and the sentence for the caller, and after how many seconds to come again."""

    verdict: Verdict
    status: int = 200
    code: str = ""
    detail: str = ""
    retry_after: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `content` is the JSON of its results, or of its error; `fault`: the service or the workflow failed, not the caller.

    `key` is its place in the object store (`<object> <offset> <length>`), if it is there; `kept_at` the address of the runtime that keeps it as
    long as there is no lasting copy.
    """

    state: State
    duration_ms: float
    content: bytes
    ended_ms: int
    key: str = ""
    kept_at: str = ""
    fault: bool = False

    @property
    def kind(self) -> str:
        """Where readers find the content."""
        if self.kept_at:
            return "runtime"
        return "object" if self.key else "inline"

    @property
    def result(self) -> bytes | str:
        """What the record holds."""
        return self.kept_at or self.key or self.content

    @property
    def billed_ms(self) -> int:
        """Whole milliseconds, rounded up, at least one."""
        return max(1, math.ceil(self.duration_ms))


def failure(code: str, message: str, *, fault: bool = True) -> Outcome:
    """Return the outcome of a run that could not be carried out."""
    return Outcome(State.FAILURE, 0.0, msgspec.json.encode({"code": code, "message": message}), now_ms(), fault=fault)


def now_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, eq=False)
class Run:
    """A run in flight.

    `replica`: the one that was asked last, or that has a place for it. `seat`: the address where it takes one of the places now. `left`: that
    replica is no longer in the route, so it may be asked for what it has, and is given nothing.
    `size`: bytes of an input that lies in the object store, if known.
    `cold`: it has waited for a sleeping deployment. `adopted`: another gateway accepted it, so nobody here knows whether its caller was answered.
    """

    id: str
    about: About
    about_json: bytes
    body: bytes
    where: Where
    digest: str
    storage_token: str
    accepted_ms: int
    payload_key: str = ""
    size: int = 0
    replica: Replica | None = None
    seat: str | None = None
    left: bool = False
    working: bool = False
    cold: bool = False
    age: float = 0.0
    adopted: bool = False
    charge: bool = False
    recorded: bool = False
    outcome: Outcome | None = None
    reservation: Reservation | None = None
    task: asyncio.Task[None] | None = None
    answered: Gate = field(default_factory=Gate)
    done: Gate = field(default_factory=Gate)
    admitted: Gate = field(default_factory=Gate)
    admission: Admission | None = None
    born: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the run was accepted."""
        return self.age + time.monotonic() - self.born

    @property
    def only_there(self) -> bool:
        """Whether the runtime that it was given to has the only copy of its input."""
        return self.where is Where.COPIES and not self.body

    def release_memory(self) -> None:
        """Give back what was reserved for the input: it is not needed here, or not any more."""
        if self.reservation is not None:
            self.reservation.release()

    def drop_body(self) -> None:
        """Hold the input no longer in memory: it is safe elsewhere."""
        self.body = b""
        self.release_memory()

    def admit(self, admission: Admission) -> Admission:
        """Note the first verdict, and return it; later ones change nothing."""
        if self.admission is None:
            self.admission = admission
            self.admitted.open()
        return self.admission
