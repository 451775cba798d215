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
    """A verdict; of a refusal also the status, the code and the sentence for the caller."""

    verdict: Verdict
    status: int = 200
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `content` is the JSON of its results, or of its error.

    `key` is its place in the object store (`<object> <offset> <length>`), if it is there; `kept_at` the address of the runtime that keeps it as
    long as there is no lasting copy.
    """

    state: State
    duration_ms: float
    content: bytes
    ended_ms: int
    key: str = ""
    kept_at: str = ""

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


def failure(code: str, message: str, *, duration_ms: float = 0.0) -> Outcome:
    """Return the outcome of a run that could not be carried out."""
    return Outcome(State.FAILURE, duration_ms, msgspec.json.encode({"code": code, "message": message}), now_ms())


def now_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, eq=False)
class Run:
    """A run in flight. `adopted`: another gateway accepted it, so nobody here knows whether its caller was answered."""

    id: str
    about: About
    about_json: bytes
    body: bytes
    where: Where
    digest: str
    storage_token: str
    accepted_ms: int
    payload_key: str = ""
    replica: str = ""
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

    def admit(self, admission: Admission) -> Admission:
        """Note the first verdict, and return it; later ones change nothing."""
        if self.admission is None:
            self.admission = admission
            self.admitted.open()
        return self.admission
