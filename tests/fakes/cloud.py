"""A cloud in memory or in a file: slow, forgetful, and faulty by a seed. It keeps its own books, in its own time, so that tests can compare.

Faults of a real one: created but errored, visible only after a while, no capacity, refusal to terminate, already gone, a status that flaps,
preemption, throttling, calls that hang (and may have been taken all the same).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controlplane.common import clock
from deployments.providers.base import (
    LogChunk,
    NoCapacity,
    Phase,
    ProviderUnavailable,
    ReplicaSpec,
    ReplicaState,
    SpecConflict,
    StillWorking,
)

REMEMBERED = timedelta(hours=1)


@dataclass(frozen=True)
class Temper:
    """How a cloud behaves: seconds, and chances from 0 to 1 for each call or machine."""

    boot: tuple[float, float] = (4.0, 12.0)
    end: tuple[float, float] = (1.0, 6.0)
    visible_after: tuple[float, float] = (0.0, 0.0)
    errored: float = 0.0
    no_capacity: float = 0.0
    refuse_end: float = 0.0
    flap: float = 0.0
    preempt: float = 0.0
    throttle: float = 0.0
    hang: float = 0.0
    stubborn: float = 0.0


@dataclass
class Machine:
    """One machine, with the moments that its life was given when it was made."""

    spec: ReplicaSpec
    made_at: datetime
    visible_at: datetime
    ready_at: datetime
    errored: bool = False
    preempted_at: datetime | None = None
    gone_at: datetime | None = None
    stubborn_for: timedelta = timedelta(0)
    asked_to_end_at: datetime | None = None

    def billed(self, now: datetime) -> float:
        """Seconds that the cloud charges up to now: from ready to gone, nothing for a machine that never was ready."""
        if self.errored or now <= self.ready_at:
            return 0.0
        end = min(now, self.ended_at or now)
        return max(0.0, (end - self.ready_at).total_seconds())

    @property
    def ended_at(self) -> datetime | None:
        """When it ended or will end, by order or by preemption."""
        ends = [moment for moment in (self.preempted_at, self.gone_at) if moment is not None]
        return min(ends, default=None)


@dataclass
class FakeCloud:
    """A `Provider`. `nap(seconds)` is what a call that hangs does with its time."""

    rng: random.Random
    temper: Temper = field(default_factory=Temper)
    nap: Callable[[float], None] = lambda seconds: None
    name: str = "local"
    visibility_delay: float = 60.0
    machines: dict[str, Machine] = field(default_factory=dict)
    calls: int = 0

    def ensure_replica(self, spec: ReplicaSpec) -> ReplicaState:
        self.trouble()
        found = self.machines.get(spec.name)
        if found is not None:
            if found.spec != spec:
                raise SpecConflict(spec.name)
            return self.state(found)
        if self.chance(self.temper.no_capacity):
            raise NoCapacity("No machine of this kind is left in this zone.")
        made = self.make(spec)
        self.machines[spec.name] = made
        if self.chance(self.temper.hang):
            # The machine is there, but nobody heard the answer.
            self.nap(5.0)
            raise ProviderUnavailable("No answer in 5 s.")
        return self.state(made)

    def get_replica(self, name: str) -> ReplicaState | None:
        self.trouble()
        found = self.machines.get(name)
        if found is None or clock.now() < found.visible_at or self.forgotten(found):
            return None
        return self.state(found)

    def delete_replica(self, name: str) -> None:
        self.trouble()
        found = self.machines.get(name)
        now = clock.now()
        if found is None or self.forgotten(found) or (found.ended_at is not None and found.ended_at <= now):
            return
        found.asked_to_end_at = found.asked_to_end_at or now
        if self.chance(self.temper.refuse_end) or now < found.asked_to_end_at + found.stubborn_for:
            raise ProviderUnavailable("The machine cannot be ended now.")
        if found.gone_at is None:
            found.gone_at = now + self.seconds(self.temper.end)
        raise StillWorking(name)

    def list_replicas(self) -> list[ReplicaState]:
        self.trouble()
        now = clock.now()
        return [self.state(one) for one in self.machines.values() if one.visible_at <= now and not self.forgotten(one)]

    def read_logs(self, name: str, cursor: str, *, limit: int) -> LogChunk:
        return LogChunk((), cursor)

    def make(self, spec: ReplicaSpec) -> Machine:
        """Decide a machine's life."""
        now = clock.now()
        ready = now + self.seconds(self.temper.boot)
        preempted = ready + timedelta(seconds=self.rng.uniform(1, 300)) if self.chance(self.temper.preempt) else None
        return Machine(
            spec=spec,
            made_at=now,
            visible_at=now + self.seconds(self.temper.visible_after),
            ready_at=ready,
            errored=self.chance(self.temper.errored),
            preempted_at=preempted,
            stubborn_for=timedelta(minutes=13) if self.chance(self.temper.stubborn) else timedelta(0),
        )

    def state(self, one: Machine) -> ReplicaState:
        """What the cloud says now. It tells billed times only once they have come."""
        now = clock.now()
        ended = one.ended_at is not None and one.ended_at <= now
        served = not one.errored and one.ready_at <= (one.ended_at or now)
        phase, detail, passing = Phase.STARTING, "", False
        if ended:
            phase, detail = Phase.GONE, "The provider took the machine back." if one.gone_at is None else ""
        elif one.gone_at is not None:
            phase = Phase.STOPPING
        elif now >= one.ready_at and one.errored:
            phase, detail, passing = Phase.FAILED, "The machine did not start.", True
        elif now >= one.ready_at and not self.chance(self.temper.flap):
            phase = Phase.READY
        return ReplicaState(
            name=one.spec.name,
            phase=phase,
            address=f"unix:/run/{one.spec.name}.sock",
            workers=2,
            detail=detail,
            isolation={"sandbox": "fake"},
            billed_from=one.ready_at if served and now >= one.ready_at else None,
            billed_until=one.ended_at if served and ended else None,
            passing=passing,
        )

    def forgotten(self, one: Machine) -> bool:
        """An ended machine is listed for an hour."""
        return one.ended_at is not None and one.ended_at + REMEMBERED <= clock.now()

    def trouble(self) -> None:
        """Fail this call, by chance."""
        self.calls += 1
        if self.chance(self.temper.throttle):
            raise ProviderUnavailable("Rate exceeded.")
        if self.chance(self.temper.hang / 2):
            self.nap(5.0)
            raise ProviderUnavailable("No answer in 5 s.")

    def chance(self, share: float) -> bool:
        return share > 0 and self.rng.random() < share

    def seconds(self, limits: tuple[float, float]) -> timedelta:
        return timedelta(seconds=self.rng.uniform(*limits))

    def live(self) -> set[str]:
        """Names of machines that have not ended."""
        now = clock.now()
        return {name for name, one in self.machines.items() if one.ended_at is None or one.ended_at > now}
