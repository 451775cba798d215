"""A provider in memory that behaves like a cloud: slow to be ready, slow to be gone, and it fails when told to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from controlplane.common import clock
from deployments.providers.base import LogChunk, Phase, ProviderError, ReplicaSpec, ReplicaState, SpecConflict, StillWorking


@dataclass
class FakeProvider:
    """`looks_until_ready` calls of ensure pass before a replica is READY; `refuse` is raised by the next ensure; `fail_with` fails replicas."""

    name: str = "local"
    visibility_delay: float = 0.0
    looks_until_ready: int = 1
    looks_until_gone: int = 1
    refuse: ProviderError | None = None
    fail_with: str = ""
    passing: bool = False
    failing: set[str] = field(default_factory=set)
    specs: dict[str, ReplicaSpec] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    leaving: dict[str, int] = field(default_factory=dict)
    billed: dict[str, datetime] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    printed: dict[str, list[str]] = field(default_factory=dict)

    def ensure_replica(self, spec: ReplicaSpec) -> ReplicaState:
        if self.refuse is not None:
            raise self.refuse
        if spec.name not in self.specs:
            self.specs[spec.name] = spec
            self.looks[spec.name] = 0
            self.created.append(spec.name)
        elif self.specs[spec.name] != spec:
            raise SpecConflict(spec.name)
        else:
            self.looks[spec.name] += 1
        return self.state(spec.name)

    def get_replica(self, name: str) -> ReplicaState | None:
        if self.refuse is not None:
            raise self.refuse
        return self.state(name) if name in self.specs else None

    def delete_replica(self, name: str) -> None:
        if name not in self.specs:
            return
        self.leaving.setdefault(name, self.looks_until_gone)
        if self.leaving[name] <= 0:
            del self.specs[name], self.leaving[name]
            self.deleted.append(name)
            return
        self.leaving[name] -= 1
        raise StillWorking(name)

    def list_replicas(self) -> list[ReplicaState]:
        return [self.state(name) for name in sorted(self.specs)]

    def read_logs(self, name: str, cursor: str, *, limit: int) -> LogChunk:
        start = int(cursor or 0)
        lines = self.printed.get(name, [])[start : start + limit]
        return LogChunk(lines=tuple(lines), cursor=str(start + len(lines)))

    def state(self, name: str) -> ReplicaState:
        state = ReplicaState(name=name, phase=Phase.STARTING, address=f"unix:/run/{name}.sock", workers=2, isolation={"sandbox": "fake"})
        if name in self.leaving:
            return replace(state, phase=Phase.STOPPING)
        if self.fail_with or name in self.failing:
            return replace(state, phase=Phase.FAILED, detail=self.fail_with or "told to", passing=self.passing)
        ready = self.looks[name] >= self.looks_until_ready
        if not ready:
            return state
        return replace(state, phase=Phase.READY, billed_from=self.billed.setdefault(name, clock.now()))

    def names(self) -> list[str]:
        """What there is."""
        return sorted(self.specs)
