"""Replicas that are to go: drained, deleted, and TERMINATED only once their provider confirms; told to an operator when it does not."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import timedelta

from controlplane.common import clock
from deployments import paying
from deployments.alerts import clear_alert, raise_alert
from deployments.checkpoints import checkpoint
from deployments.leases import Lease, extend, guarded
from deployments.models import AlertKind, Replica
from deployments.providers.base import Phase, ProviderError, ReplicaState, StillWorking
from deployments.providers.registry import provider
from deployments.reconcile.replicas import LEAVING, note_state
from deployments.states import ReplicaStatus

logger = logging.getLogger(__name__)

# Between the new route and the end of the old replica: gateways need a moment to hear of it.
DRAIN_NOTICE = timedelta(seconds=1)
# A replica drains for 20 seconds and a machine is gone in a minute or two; what takes longer than this does not end by itself.
STUCK_AFTER = timedelta(minutes=10)
SOON = 0.3
STUCK_PAUSE = 60.0


def drain(lease: Lease, replicas: Iterable[Replica]) -> None:
    """Take replicas out of the traffic: those that serve end what they have, the others go at once. Call it under the guard."""
    now = clock.now()
    chosen = [replica.pk for replica in replicas]
    rows = lease.deployment.replicas.filter(pk__in=chosen)
    rows.filter(status=ReplicaStatus.SERVING).update(status=ReplicaStatus.DRAINING, drain_from=now + DRAIN_NOTICE)
    rows.filter(status=ReplicaStatus.STARTING).update(status=ReplicaStatus.TERMINATING)


def abandon(lease: Lease, *, at_once: bool = False) -> None:
    """Mark every replica that is left for its end; with `at_once`, also what still drains."""
    with guarded(lease):
        rows = lease.deployment.replicas
        if at_once:
            rows.exclude(status=ReplicaStatus.TERMINATED).update(status=ReplicaStatus.TERMINATING)
        else:
            drain(lease, rows.filter(status__in=[ReplicaStatus.SERVING, ReplicaStatus.STARTING]))


def retire(lease: Lease) -> float | None:
    """Delete what is to go. Returns seconds until the next try, None when nothing is left."""
    waits = [wait for replica in lease.deployment.replicas.filter(status__in=LEAVING) if (wait := remove(lease, replica)) is not None]
    return min(waits, default=None)


def remove(lease: Lease, replica: Replica) -> float | None:
    """Bring one replica nearer to its end. Returns seconds until the next try, None when it is gone."""
    now = clock.now()
    if replica.status == ReplicaStatus.DRAINING and replica.drain_from is not None and replica.drain_from > now:
        return max((replica.drain_from - now).total_seconds(), 0.05)
    if replica.terminating_since is None:
        with guarded(lease):
            Replica.objects.filter(pk=replica.pk).update(terminating_since=now, status=ReplicaStatus.TERMINATING)
            paying.tell_ending(replica, now)
        replica.terminating_since = now
    extend(lease)
    try:
        provider(replica.backend).delete_replica(replica.name)
    except StillWorking:
        checkpoint("replica_deleted")
        return not_gone_yet(lease, replica, "It is still there.")
    except ProviderError as error:
        logger.warning("cannot delete %s: %s", replica.name, error)
        return not_gone_yet(lease, replica, str(error))
    checkpoint("replica_confirmed_gone")
    try:
        last_word = provider(replica.backend).get_replica(replica.name)
    except ProviderError as error:
        # Without its last word the billed time would be a guess.
        return not_gone_yet(lease, replica, str(error))
    unseen = last_word is None and replica.billed_from is None
    if unseen and (now - replica.terminating_since).total_seconds() < provider(replica.backend).visibility_delay:
        # It was asked for a moment ago: a provider that shows things late may have it all the same.
        return not_gone_yet(lease, replica, "Its provider may not show it yet.")
    confirm_gone(lease, replica, last_word)
    return None


def not_gone_yet(lease: Lease, replica: Replica, detail: str) -> float:
    """Wait on; past the deadline it is stuck and an operator is told, once."""
    now = clock.now()
    since = replica.terminating_since or now
    age = (now - since).total_seconds()
    if now - since < STUCK_AFTER:
        return max(SOON, min(age * 0.2, 15.0))
    if replica.stuck_since is None:
        with guarded(lease):
            Replica.objects.filter(pk=replica.pk).update(stuck_since=now)
            paying.tell_failed(replica, since)
            raise_alert(
                AlertKind.STUCK_REPLICA,
                replica.name,
                deployment_id=replica.deployment_id,
                detail=f"{replica.backend} was asked to remove {replica.name} at {since:%Y-%m-%d %H:%M:%S} UTC and has not: {detail} "
                "Remove it at the provider; this is tried again each minute.",
            )
        checkpoint("stuck_told")
        # Nothing of it is charged any more, so nothing is to be reserved for it.
        paying.settle_account(replica)
    return STUCK_PAUSE


def confirm_gone(lease: Lease, replica: Replica, state: ReplicaState | None) -> None:
    """The provider has none of this name any more. Its own last word about the time is kept if it still remembers, else it ended now."""
    now = clock.now()
    with guarded(lease):
        if state is not None and state.phase is Phase.GONE:
            note_state(replica, state)
        ended = {"billed_until": now} if replica.billed_from is not None and replica.billed_until is None else {}
        if ended:
            paying.tell_times(replica, ended=now)
        Replica.objects.filter(pk=replica.pk).update(status=ReplicaStatus.TERMINATED, terminated_at=now, version=None, **ended)
        clear_alert(AlertKind.STUCK_REPLICA, replica.name)
    paying.settle_account(replica)


def is_stuck(lease: Lease) -> bool:
    """Tell whether something of this deployment is stuck."""
    return bool(lease.deployment.replicas.filter(status__in=LEAVING, stuck_since__isnull=False).exists())
