"""What a provider is: start a replica, look at it, take it away. Calls are idempotent by the replica's name and never run in a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol, runtime_checkable


class Phase(StrEnum):
    """Where a replica is, as its provider sees it. A replica that is gone has no state at all."""

    STARTING = "STARTING"
    READY = "READY"
    FAILED = "FAILED"
    STOPPING = "STOPPING"


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """What to start. `name` is deterministic and stored before the first call; `bundle` is the SHA-256 of the bundle's tar."""

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

    `isolation` tells how the replica is kept apart: which sandbox, which limits, which user.
    """

    name: str
    phase: Phase
    address: str = ""
    workers: int = 0
    detail: str = ""
    restarts: int = 0
    isolation: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Raw log lines after a cursor, in order, and the cursor to go on from."""

    lines: tuple[str, ...]
    cursor: str


class ProviderError(Exception):
    """A provider's refusal, made at the adapter's edge. `reason` is the code that users see."""

    reason: ClassVar[str] = "INTERNAL_ERROR"
    retryable: ClassVar[bool] = False


class NoCapacity(ProviderError):
    """The provider has no machine of this kind left at the moment."""

    reason = "NO_CAPACITY"


class QuotaExceeded(ProviderError):
    """The account may not have more of these."""

    reason = "QUOTA_EXCEEDED"


class BadCredentials(ProviderError):
    """The provider does not accept the configured credentials."""

    reason = "BAD_CREDENTIALS"


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
    """What every provider can do. All methods may raise `ProviderUnavailable`."""

    name: str

    def ensure_replica(self, spec: ReplicaSpec) -> ReplicaState:
        """Create the replica unless it exists, and return its state at once. Raises NoCapacity, QuotaExceeded, BadCredentials, SpecConflict."""
        ...

    def get_replica(self, name: str) -> ReplicaState | None:
        """Return the replica's state, or None if there is none of that name."""
        ...

    def delete_replica(self, name: str) -> None:
        """Drain and remove the replica; returns only when it is gone (or never was), raises StillWorking until then."""
        ...

    def list_replicas(self) -> list[str]:
        """Return the names of all replicas of this installation, to find the ones that the database does not know."""
        ...


@runtime_checkable
class LogReader(Protocol):
    """Ability: hand out what a replica printed."""

    def read_logs(self, name: str, cursor: str, *, limit: int) -> LogChunk:
        """Return up to `limit` lines after `cursor` ("" = from the start); an empty chunk means that there is nothing new."""
        ...
