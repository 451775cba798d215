"""One replica at its provider: asked for, looked at, noted. Provider calls stand outside transactions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Max

from billing.errors import NoCredits
from controlplane.common import clock
from deployments import paying
from deployments.checkpoints import checkpoint
from deployments.leases import Lease, guarded
from deployments.models import Deployment, Replica, Revision
from deployments.offers import offer_of
from deployments.providers.base import Phase, ReplicaSpec, ReplicaState
from deployments.providers.registry import provider
from deployments.routing import publish_on_commit
from deployments.states import ReplicaStatus

LEAVING = (ReplicaStatus.DRAINING, ReplicaStatus.TERMINATING)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many replicas there are to be, and of what: a revision's version and size, built into the bundle of that digest (SHA-256).

    `proven`: the revision has served. Then what goes wrong is first of all bad luck, and it is tried again for long.
    """

    revision: int
    version_id: UUID | None
    size: str
    digest: str
    count: int
    proven: bool


def replica_name(deployment: Deployment, revision: int, ordinal: int) -> str:
    """Return the name of a replica; a name is given once and never again."""
    return f"d{deployment.pk.hex}-r{revision}-{ordinal}"


def record_replicas(lease: Lease, plan: Plan, count: int) -> list[Replica]:
    """Store the rows of `count` more replicas, and reserve credits for each; this comes before the provider hears of them.

    Where credits do not do for all, there are fewer. Raises `NoCredits` when they do for none.
    """
    deployment = lease.deployment
    made: list[Replica] = []
    with guarded(lease):
        rows = deployment.replicas.filter(revision=plan.revision)
        last = rows.aggregate(last=Max("ordinal"))["last"] or 0
        for ordinal in range(last + 1, last + 1 + count):
            try:
                made.append(record_replica(deployment, plan, ordinal))
            except NoCredits:
                if not made:
                    raise
                break
        Revision.objects.filter(deployment=deployment, number=plan.revision).update(digest=plan.digest)
    checkpoint("replica_recorded")
    return made


def record_replica(deployment: Deployment, plan: Plan, ordinal: int) -> Replica:
    """Reserve for one replica, then store its row. Raises `NoCredits`; then nothing of it is written."""
    replica = Replica(
        deployment=deployment,
        generation=deployment.generation,
        revision=plan.revision,
        ordinal=ordinal,
        name=replica_name(deployment, plan.revision, ordinal),
        version_id=plan.version_id,
        backend=deployment.backend,
        bundle=plan.digest,
        size=plan.size,
        begun_at=clock.now(),
    )
    paying.reserve_replica(replica)
    replica.save(force_insert=True)
    return replica


def spec_of(replica: Replica) -> ReplicaSpec:
    """Return what the provider is asked for; always the same for one replica."""
    deployment = replica.deployment
    offer = offer_of(provider=deployment.provider, flavour=deployment.flavour, size=replica.size)
    return ReplicaSpec(
        name=replica.name,
        bundle=replica.bundle,
        vcpu=offer.vcpu,
        ram_mb=offer.ram_mb,
        deployment=str(deployment.pk),
        generation=replica.generation,
        region=deployment.region,
    )


def ensure(replica: Replica) -> ReplicaState:
    """Ask the provider for the replica (again). Raises ProviderError."""
    state = provider(replica.backend).ensure_replica(spec_of(replica))
    checkpoint("replica_ensured")
    return state


def look(replica: Replica) -> ReplicaState | None:
    """Return what the provider says of a replica that it had, None where it has none. Raises ProviderError."""
    return provider(replica.backend).get_replica(replica.name)


def note_state(replica: Replica, state: ReplicaState) -> bool:
    """Keep what the provider says of a replica; return whether the route is touched by it. Call it under the guard."""
    changed = news_of(replica, state)
    if changed:
        Replica.objects.filter(pk=replica.pk).update(**changed)
        for name, value in changed.items():
            setattr(replica, name, value)
        if changed.keys() & {"billed_from", "billed_until"}:
            paying.tell_times(replica, began=changed.get("billed_from"), ended=changed.get("billed_until"))
    return bool(changed.keys() & {"address", "workers"})


def news_of(replica: Replica, state: ReplicaState) -> dict[str, Any]:
    """Return what the provider says of a replica and the row does not have."""
    fields: dict[str, Any] = {"missing_since": None, **billed(replica, state)}
    if state.phase in (Phase.STARTING, Phase.READY):
        fields |= {"address": state.address, "workers": state.workers, "isolation": dict(state.isolation)}
    return {name: value for name, value in fields.items() if getattr(replica, name) != value}


def billed(replica: Replica, state: ReplicaState) -> dict[str, datetime]:
    """Return the billed times that the provider tells and the row does not have yet."""
    told = {"billed_from": state.billed_from, "billed_until": state.billed_until}
    return {name: moment for name, moment in told.items() if moment is not None and getattr(replica, name) is None}


def give_up(lease: Lease, replica: Replica, failure: str, state: ReplicaState | None = None) -> None:
    """A replica failed or was lost: it leaves the route and is removed. The provider is asked for its end even if it says that it has none."""
    with guarded(lease):
        if state is not None:
            note_state(replica, state)
        Replica.objects.filter(pk=replica.pk).update(status=ReplicaStatus.TERMINATING, failure=failure[:2000] or "It failed.")
        paying.tell_failed(replica, clock.now())
        Deployment.objects.filter(pk=lease.deployment.pk).update(updated_at=clock.now())
        publish_on_commit(lease.deployment.pk)
    checkpoint("replica_given_up")
