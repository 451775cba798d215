"""What a provider is: start a replica, look at it, take it away. Calls are idempotent by the replica's name and never run in a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Protocol, runtime_checkable


class Phase(StrEnum):
    """Where a replica is, as its provider sees it.

    One that is GONE (terminated, preempted) costs nothing any more; providers remember it for a while, then have no state of it at all.
    """

    STARTING = "STARTING"
    READY = "READY"
    FAILED = "FAILED"
    STOPPING = "STOPPING"
    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """What to start. `name` is stored before the first call and never used for another; `bundle` is the SHA-256 of the bundle's tar."""

    name: str
    bundle: str
    vcpu: int
    ram_mb: int
    deployment: str
    generation: int
    region: str


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """What a provider says of a replica. `address` ("unix:/path" or "https://…") answers as the runtime does once the phase is READY.

    `isolation` tells how the replica is kept apart: which sandbox, which limits, which user. `billed_from` and `billed_until` are the provider's
    own times, None where it does not tell or where it has not come to that. `passing`: a FAILED one failed by the provider's fault, so that another
    attempt may do better; without it the workflow is to blame.
    """

    name: str
    phase: Phase
    address: str = ""
    workers: int = 0
    detail: str = ""
    restarts: int = 0
    isolation: Mapping[str, str] = field(default_factory=dict)
    billed_from: datetime | None = None
    billed_until: datetime | None = None
    passing: bool = False


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Raw log lines after a cursor, in order, and the cursor to go on from."""

    lines: tuple[str, ...]
    cursor: str


class ProviderError(Exception):
    """A provider's refusal, made at the adapter's edge. `reason` is the code that users see.

    `retryable`: the same call may do soon. `passing`: not soon, but what served before is worth asking for again and again.
    """

    reason: ClassVar[str] = "INTERNAL_ERROR"
    retryable: ClassVar[bool] = False
    passing: ClassVar[bool] = False


class NoCapacity(ProviderError):
    """The provider has no machine of this kind left at the moment."""

    reason = "NO_CAPACITY"
    passing = True


class QuotaExceeded(ProviderError):
    """The account may not have more of these."""

    reason = "QUOTA_EXCEEDED"
    passing = True


class BadCredentials(ProviderError):
    """The provider does not accept the configured credentials."""

    reason = "BAD_CREDENTIALS"
    passing = True


class SpecConflict(ProviderError):
    """The name is taken by a replica with another specification: two writers, or a bug."""


class StillWorking(ProviderError):
    """The call was taken; ask again in a moment."""

    retryable = True


class ProviderUnavailable(ProviderError):
    """The provider does not answer, or answers with a fault of its own; nothing is known about the replica."""

    reason = "PROVIDER_UNAVAILABLE"
    retryable = True


class Provider(Protocol):
    """What every provider can do. All methods may raise `ProviderUnavailable`.

    `visibility_delay`: seconds for which the provider may not yet list, or find, what it has just made.
    """

    name: str
    visibility_delay: float

    def ensure_replica(self, spec: ReplicaSpec) -> ReplicaState:
        """Create the replica unless it exists or existed, and return its state at once.

        Raises NoCapacity, QuotaExceeded, BadCredentials, SpecConflict.
        """
        ...

    def get_replica(self, name: str) -> ReplicaState | None:
        """Return the replica's state, or None if there is none of that name."""
        ...

    def delete_replica(self, name: str) -> None:
        """Drain and remove the replica; returns only when it is gone (or never was), raises StillWorking until then."""
        ...

    def list_replicas(self) -> list[ReplicaState]:
        """Return the states of all replicas of this installation: in one look, what changed, and what the database does not know."""
        ...


@runtime_checkable
class LogReader(Protocol):
    """Ability: hand out what a replica printed."""

    def read_logs(self, name: str, cursor: str, *, limit: int) -> LogChunk:
        """Return up to `limit` lines after `cursor` ("" = from the start); an empty chunk means that there is nothing new."""
        ...


@runtime_checkable
class LogPositions(Protocol):
    """Ability: tell in one call how far the logs of all replicas reach, and remove one that was read."""

    def log_positions(self) -> Mapping[str, str]:
        """Return, by the replica's name, the cursor at which there is nothing more to read at the moment."""
        ...

    def drop_logs(self, name: str) -> None:
        """Remove the log of a replica that is gone; nothing happens when there is none."""
        ...
