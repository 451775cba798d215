"""Replicas of a deployment: make the wanted one, give it the traffic, retire the others. Provider calls stand outside transactions."""

from __future__ import annotations

import logging
from datetime import timedelta

from controlplane.common import clock
from deployments.checkpoints import checkpoint
from deployments.leases import Lease, guarded
from deployments.logs import append_build_log
from deployments.models import Bundle, Deployment, Replica
from deployments.offers import offer_of
from deployments.providers.base import ProviderError, ReplicaSpec, ReplicaState, StillWorking
from deployments.providers.registry import provider
from deployments.routing import publish_on_commit
from deployments.states import ReplicaStatus, Status
from deployments.transitions import switch_status

logger = logging.getLogger(__name__)

# Between the new route and the end of the old replica: gateways need a moment to hear of it.
DRAIN_NOTICE = timedelta(seconds=1)


def replica_name(deployment: Deployment) -> str:
    """Return the name of the wanted generation's replica: the same whenever and by whomever it is asked."""
    return f"d{deployment.pk.hex}-g{deployment.generation}"


def wanted_replica(lease: Lease, bundle: Bundle) -> Replica:
    """Return the row of the wanted generation's replica; it is stored before the provider hears of it."""
    deployment = lease.deployment
    with guarded(lease):
        replica, created = Replica.objects.get_or_create(
            deployment=deployment,
            generation=deployment.generation,
            defaults={
                "name": replica_name(deployment),
                "revision": deployment.generation,
                "version": deployment.wanted_version,
                "backend": deployment.backend,
                "bundle": bundle.digest,
                "size": deployment.size,
            },
        )
        superseded = deployment.replicas.filter(status=ReplicaStatus.STARTING).exclude(pk=replica.pk)
        superseded.update(status=ReplicaStatus.TERMINATING)
        if created and not deployment.replicas.filter(bundle=bundle.digest).exclude(pk=replica.pk).exists():
            append_build_log(deployment.pk, bundle.log)
    checkpoint("replica_recorded")
    return replica


def ensure(replica: Replica) -> ReplicaState:
    """Ask the provider for the replica (again). Raises ProviderError."""
    deployment = replica.deployment
    offer = offer_of(provider=deployment.provider, flavour=deployment.flavour, size=replica.size)
    spec = ReplicaSpec(
        name=replica.name,
        bundle=replica.bundle,
        vcpu=offer.vcpu,
        ram_mb=offer.ram_mb,
        deployment=str(deployment.pk),
        generation=replica.generation,
        region=deployment.region,
    )
    state = provider(replica.backend).ensure_replica(spec)
    checkpoint("replica_ensured")
    return state


def give_traffic(lease: Lease, replica: Replica, state: ReplicaState) -> None:
    """In one transaction: the new replica serves, the old one drains, the deployment runs. The route follows after commit."""
    deployment = lease.deployment
    now = clock.now()
    with guarded(lease):
        old = deployment.replicas.filter(status=ReplicaStatus.SERVING).exclude(pk=replica.pk)
        old.update(status=ReplicaStatus.DRAINING, drain_from=now + DRAIN_NOTICE)
        note_state(replica, state)
        Replica.objects.filter(pk=replica.pk).update(status=ReplicaStatus.SERVING, ready_at=now)
        switch_status(lease, Status.RUNNING, observed_generation=deployment.generation)
    checkpoint("route_switched")


def note_state(replica: Replica, state: ReplicaState) -> bool:
    """Keep what the provider says of a replica; return whether the route is touched by it."""
    fields = {"address": state.address, "workers": state.workers, "isolation": dict(state.isolation)}
    before = (replica.address, replica.workers)
    if (*before, replica.isolation) == tuple(fields.values()):
        return False
    Replica.objects.filter(pk=replica.pk).update(**fields)
    return before != (state.address, state.workers)


def refresh_route(lease: Lease, replica: Replica, state: ReplicaState) -> None:
    """Follow a serving replica that moved; without a change this repairs the route table."""
    pk = lease.deployment.pk
    with guarded(lease):
        if note_state(replica, state):
            Deployment.objects.filter(pk=pk).update(updated_at=clock.now())
        publish_on_commit(pk)


def abandon(lease: Lease) -> None:
    """Mark every replica that is left for termination."""
    with guarded(lease):
        lease.deployment.replicas.exclude(status=ReplicaStatus.TERMINATED).update(status=ReplicaStatus.TERMINATING)


def retire(lease: Lease) -> bool:
    """Delete what drains or is to be terminated; a replica is TERMINATED only once its provider confirms. Returns True when none is left."""
    leaving = lease.deployment.replicas.filter(status__in=[ReplicaStatus.DRAINING, ReplicaStatus.TERMINATING])
    left = False
    for replica in leaving:
        if replica.status == ReplicaStatus.DRAINING and replica.drain_from > clock.now():
            left = True
            continue
        try:
            provider(replica.backend).delete_replica(replica.name)
        except StillWorking:
            checkpoint("replica_deleted")
            left = True
            continue
        except ProviderError as error:
            logger.warning("cannot delete %s: %s", replica.name, error)
            left = True
            continue
        checkpoint("replica_confirmed_gone")
        with guarded(lease):
            Replica.objects.filter(pk=replica.pk).update(status=ReplicaStatus.TERMINATED, terminated_at=clock.now(), version=None)
    return not left
