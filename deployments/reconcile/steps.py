"""One step for each status. A step does at most one thing, can be repeated, and leaves the serving version alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import redis

from controlplane.common import clock
from controlplane.common.errors import NotFound, Unavailable
from deployments.bundles.build import build_bundle, built_bundle
from deployments.checkpoints import checkpoint
from deployments.errors import BuildFailed
from deployments.leases import Lease, guarded
from deployments.logs import append_build_log
from deployments.models import Bundle, Deployment, Replica
from deployments.providers.base import Phase, ProviderError, ReplicaState
from deployments.reconcile import replicas
from deployments.reconcile.outcome import GO_ON, Outcome, Wait
from deployments.routing import remove_route
from deployments.selectors import serving_replica
from deployments.states import DesiredState, Reason, ReplicaStatus, Status
from deployments.transitions import show_reason, switch_status

POLL_SECONDS = 0.15
DRAIN_POLL_SECONDS = 0.3
RETRY_SECONDS = 2.0
HEALTH_SECONDS = 10.0
# The runtime itself gives a workflow 10 minutes to load its models.
START_DEADLINE = timedelta(minutes=11)


def next_step(lease: Lease) -> Outcome:
    """Do the next thing that brings the deployment nearer to what is wanted."""
    deployment = lease.deployment
    status = Status(deployment.status)
    if deployment.desired_state == DesiredState.DELETED and status not in {Status.DELETING, Status.DELETED}:
        switch_status(lease, Status.DELETING)
        return GO_ON
    return STEPS[status](lease)


def queued(lease: Lease) -> Outcome:
    """Begin to build."""
    switch_status(lease, Status.BUILDING)
    return GO_ON


def building(lease: Lease) -> Outcome:
    """Have the wanted version's bundle."""
    if ensure_bundle(lease) is None:
        return Wait(RETRY_SECONDS) if lease.deployment.status == Status.BUILDING else GO_ON
    switch_status(lease, Status.SCALING)
    return GO_ON


def scaling(lease: Lease) -> Outcome:
    """Have the first replica, or the first after an error."""
    if wanted_bundle(lease) is None:
        # A newer version was asked for while this one was starting.
        switch_status(lease, Status.BUILDING)
        return GO_ON
    replicas.retire(lease)
    return start_wanted(lease)


def running(lease: Lease) -> Outcome:
    """Serve. Begin an update when the intent is newer, retire what drains, and look after the serving replica."""
    deployment = lease.deployment
    if deployment.observed_generation < deployment.generation:
        return begin_update(lease)
    if not replicas.retire(lease):
        return Wait(DRAIN_POLL_SECONDS)
    replica = serving_replica(deployment)
    if replica is None:
        return stop_serving(lease, Reason("INTERNAL_ERROR", "The serving replica is not recorded any more."))
    try:
        state = replicas.ensure(replica)
    except ProviderError:
        # Nothing is known then; the replica may well serve.
        return Wait(HEALTH_SECONDS)
    if state.phase is Phase.FAILED:
        return stop_serving(lease, Reason("START_FAILED", state.detail))
    replicas.refresh_route(lease, replica, state)
    return Wait(HEALTH_SECONDS)


def stop_serving(lease: Lease, reason: Reason) -> Outcome:
    """The serving replica failed for good: take it out of the route together with the switch to ERROR."""
    with guarded(lease):
        replicas.abandon(lease)
        switch_status(lease, Status.ERROR, reason=reason)
    return GO_ON


def begin_update(lease: Lease) -> Outcome:
    """Go to UPDATING, unless what is wanted is what serves."""
    deployment = lease.deployment
    replica = serving_replica(deployment)
    if replica and (replica.version_id, replica.size) == (deployment.wanted_version_id, deployment.size):
        with guarded(lease):
            Deployment.objects.filter(pk=deployment.pk).update(observed_generation=deployment.generation)
        return GO_ON
    switch_status(lease, Status.UPDATING)
    return GO_ON


def updating(lease: Lease) -> Outcome:
    """Bring up the new replica beside the one that serves."""
    replicas.retire(lease)
    if ensure_bundle(lease) is None:
        return Wait(RETRY_SECONDS) if lease.deployment.status == Status.UPDATING else GO_ON
    return start_wanted(lease)


def error(lease: Lease) -> Outcome:
    """Remove what is left of the failed attempt; begin again when the user has asked for it."""
    replicas.abandon(lease)
    if not replicas.retire(lease):
        return Wait(POLL_SECONDS)
    if lease.deployment.observed_generation < lease.deployment.generation:
        switch_status(lease, Status.QUEUED)
        return GO_ON
    return Wait(None)


def deleting(lease: Lease) -> Outcome:
    """Close the endpoint first, then remove every replica, then say that it is gone."""
    try:
        remove_route(lease.deployment.slug)
    except redis.RedisError:
        return Wait(RETRY_SECONDS)
    replicas.abandon(lease)
    if not replicas.retire(lease):
        return Wait(POLL_SECONDS)
    # Without its references the workflow can be deleted; the names stay for the usage.
    switch_status(lease, Status.DELETED, workflow=None, wanted_version=None, observed_generation=lease.deployment.generation)
    checkpoint("deleted")
    return Wait(None)


def at_rest(lease: Lease) -> Outcome:
    """Nothing happens here until the intent changes."""
    return Wait(None)


STEPS: dict[Status, Callable[[Lease], Outcome]] = {
    Status.QUEUED: queued,
    Status.BUILDING: building,
    Status.SCALING: scaling,
    Status.RUNNING: running,
    Status.UPDATING: updating,
    Status.PAUSED: at_rest,
    Status.SUSPENDED: at_rest,
    Status.ERROR: error,
    Status.STUCK: at_rest,
    Status.DELETING: deleting,
    Status.DELETED: at_rest,
}


def wanted_bundle(lease: Lease) -> Bundle | None:
    """Return the wanted version's bundle if it is built."""
    version = lease.deployment.wanted_version
    return built_bundle(version) if version else None


def ensure_bundle(lease: Lease) -> Bundle | None:
    """Return the bundle, building it if needed; None when that failed for good (settled) or cannot be done now (shown)."""
    version = lease.deployment.wanted_version
    if version is None:
        settle_failure(lease, Reason("ARCHIVE_MISSING", "The workflow has no version any more."))
        return None
    if (found := built_bundle(version)) is not None:
        return found
    try:
        return build_bundle(version)
    except BuildFailed as failure:
        with guarded(lease):
            append_build_log(lease.deployment.pk, Bundle.objects.get(version=version).log)
            settle_failure(lease, failure.reason)
    except Unavailable as problem:
        show_reason(lease, Reason("OBJECT_STORE_DOWN", problem.detail))
    except NotFound as problem:
        show_reason(lease, Reason("ALGORITHM_CHANGED", f"A package was deleted while it was built in. {problem.detail}"))
    return None


def start_wanted(lease: Lease) -> Outcome:
    """Ask for the wanted replica until it is ready, has failed, or its time is over."""
    bundle = wanted_bundle(lease)
    if bundle is None:
        return Wait(RETRY_SECONDS)
    replica = replicas.wanted_replica(lease, bundle)
    try:
        state = replicas.ensure(replica)
    except ProviderError as problem:
        return provider_problem(lease, replica, problem)
    if state.phase is Phase.READY:
        replicas.give_traffic(lease, replica, state)
        return GO_ON
    return not_ready(lease, replica, state)


def not_ready(lease: Lease, replica: Replica, state: ReplicaState) -> Outcome:
    """Wait for a replica that is starting, or settle one that will never be ready."""
    reason = None
    if state.phase is not Phase.STARTING:
        reason = Reason("START_FAILED", state.detail or "The replica ended before it was ready.")
    elif clock.now() > replica.created_at + START_DEADLINE:
        reason = Reason("START_TIMEOUT", f"It was not ready after {START_DEADLINE.seconds // 60} minutes. {state.detail}".strip())
    if reason is None:
        return Wait(POLL_SECONDS)
    settle_failure(lease, reason)
    return GO_ON


def provider_problem(lease: Lease, replica: Replica, problem: ProviderError) -> Outcome:
    """Wait out what may pass (until the deadline); settle a refusal."""
    reason = Reason(problem.reason, str(problem))
    if problem.retryable and clock.now() <= replica.created_at + START_DEADLINE:
        show_reason(lease, reason)
        return Wait(RETRY_SECONDS)
    settle_failure(lease, reason)
    return GO_ON


def settle_failure(lease: Lease, reason: Reason) -> None:
    """End a failed attempt: ERROR, or, where a version is serving, back to it with the reason shown.

    A newer intent that arrived meanwhile stays: the next look finds its generation unobserved.
    """
    deployment = lease.deployment
    replica = serving_replica(deployment) if deployment.status == Status.UPDATING else None
    with guarded(lease):
        deployment.replicas.filter(status=ReplicaStatus.STARTING).update(status=ReplicaStatus.TERMINATING)
        if replica is not None:
            unchanged = Deployment.objects.filter(pk=deployment.pk, generation=deployment.generation)
            unchanged.update(wanted_version=replica.version_id, size=replica.size)
        after = Status.ERROR if replica is None else Status.RUNNING
        switch_status(lease, after, reason=reason, observed_generation=deployment.generation)
