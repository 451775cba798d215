"""One step for each status. A step can be repeated, and leaves the serving version alone."""

from __future__ import annotations

from collections.abc import Callable

import redis

from controlplane.common.errors import NotFound, Unavailable
from deployments.bundles.build import build_bundle, built_bundle
from deployments.bundles.build_log import show_build_log
from deployments.checkpoints import checkpoint
from deployments.errors import BuildDelayed, BuildFailed
from deployments.leases import Lease, extend, guarded
from deployments.models import Bundle, Deployment, Replica, Revision, RevisionState
from deployments.reconcile import backoff, fleet, leaving, smoke, traffic
from deployments.reconcile.outcome import GO_ON, Outcome, Wait, soonest
from deployments.routing import remove_route
from deployments.states import DesiredState, Reason, ReplicaStatus, Status
from deployments.transitions import note_reason, switch_status

RETRY_SECONDS = 2.0
# What runs is looked at when the sweep sees a difference; this is only for what a sweep could miss.
AT_REST_SECONDS = 3600.0
STRANGE_SECONDS = 60.0
PAUSABLE = frozenset({Status.QUEUED, Status.BUILDING, Status.SCALING, Status.RUNNING, Status.UPDATING, Status.ERROR, Status.SUSPENDED})


def next_step(lease: Lease) -> Outcome:
    """Do the next thing that brings the deployment nearer to what is wanted."""
    deployment = lease.deployment
    status = Status(deployment.status)
    wanted = DesiredState(deployment.desired_state)
    if wanted == DesiredState.DELETED and status not in {Status.DELETING, Status.DELETED, Status.STUCK}:
        switch_status(lease, Status.DELETING)
        return GO_ON
    if wanted == DesiredState.PAUSED and status in PAUSABLE:
        return begin_pause(lease)
    return STEPS[status](lease)


def queued(lease: Lease) -> Outcome:
    """Begin to build."""
    switch_status(lease, Status.BUILDING)
    return GO_ON


def building(lease: Lease) -> Outcome:
    """Have the wanted version's bundle."""
    if ensure_bundle(lease) is None:
        return no_bundle(lease, Status.BUILDING)
    switch_status(lease, Status.SCALING)
    return GO_ON


def scaling(lease: Lease) -> Outcome:
    """Have the first replica: of a new deployment, or after an error, a pause, or the loss of all."""
    deployment = lease.deployment
    bundle = wanted_bundle(lease)
    if bundle is None:
        # A newer version was asked for while this one was starting.
        switch_status(lease, Status.BUILDING)
        return GO_ON
    drop_other_revisions(lease)
    leave = leaving.retire(lease)
    served = deployment.served_revision == deployment.revision
    progress = fleet.bring_up(lease, bundle, target(deployment), persistent=served)
    if progress.ready:
        # One is enough to serve; the others follow.
        outcome = take_over(lease, progress.ready)
        return Wait(AT_REST_SECONDS) if is_whole(lease, progress) else outcome
    if progress.failure is not None and not progress.waits:
        return settle_failure(lease, progress.failure)
    fleet.tell_trouble(lease, progress)
    return soonest(progress.wait, leave)


def is_whole(lease: Lease, progress: fleet.Progress) -> bool:
    """Tell whether all that is wanted serves since just now and nothing leaves, so that another look would find nothing to do."""
    deployment = lease.deployment
    if deployment.status != Status.RUNNING or progress.waits or progress.failure is not None:
        return False
    return len(progress.ready) == target(deployment) and leaving.retire(lease) is None


def running(lease: Lease) -> Outcome:
    """Serve: begin an update when the intent is newer, retire what drains, look after the replicas, have as many as are wanted."""
    deployment = lease.deployment
    if deployment.observed_generation < deployment.generation:
        return begin_update(lease)
    leave = leaving.retire(lease)
    look = fleet.look_after(lease)
    serving = deployment.replicas.filter(status=ReplicaStatus.SERVING).count()
    if serving == 0 and not deployment.may_sleep:
        lost = deployment.replicas.filter(revision=deployment.revision).exclude(failure="").order_by("-ordinal").first()
        switch_status(lease, Status.SCALING, reason=Reason("REPLICA_LOST", lost.failure if lost else "It is not there any more."))
        return GO_ON
    bundle = wanted_bundle(lease)
    if bundle is None and serving:
        # Nothing new can be started from it, but what serves goes on.
        return soonest(leave, look, STRANGE_SECONDS)
    if bundle is None:
        return settle_failure(lease, Reason("ARCHIVE_MISSING", "What was built is not recorded any more."))
    progress = fleet.bring_up(lease, bundle, target(deployment), persistent=True)
    if progress.ready:
        traffic.add_to_traffic(lease, progress.ready)
        return GO_ON
    if progress.failure is not None and not progress.waits:
        return cannot_grow(lease, progress.failure, serving)
    fleet.tell_trouble(lease, progress)
    return soonest(progress.wait, leave, look, AT_REST_SECONDS)


def cannot_grow(lease: Lease, reason: Reason, serving: int) -> Outcome:
    """Another replica cannot be had: what serves goes on with what there is; a sleeping one that cannot wake is an error."""
    if serving == 0:
        return settle_failure(lease, reason)
    note_reason(lease, reason)
    return Wait(backoff.pause(lease.deployment.failed_attempts))


def begin_update(lease: Lease) -> Outcome:
    """Go to UPDATING, unless what is wanted is what serves."""
    deployment = lease.deployment
    if deployment.served_revision == deployment.revision:
        with guarded(lease):
            Deployment.objects.filter(pk=deployment.pk).update(observed_generation=deployment.generation)
        return GO_ON
    switch_status(lease, Status.UPDATING)
    return GO_ON


def updating(lease: Lease) -> Outcome:
    """Bring up the new replicas beside those that serve, try them, and switch."""
    deployment = lease.deployment
    if deployment.served_revision == deployment.revision:
        # The wish was taken back: what it had started goes.
        with guarded(lease):
            leaving.drain(lease, others(deployment))
            switch_status(lease, Status.RUNNING, observed_generation=deployment.generation)
        return GO_ON
    drop_other_revisions(lease)
    leave = leaving.retire(lease)
    look = fleet.look_after(lease)
    bundle = ensure_bundle(lease)
    if bundle is None:
        return no_bundle(lease, Status.UPDATING)
    progress = fleet.bring_up(lease, bundle, target(deployment))
    if progress.failure is not None:
        return settle_failure(lease, progress.failure)
    fleet.tell_trouble(lease, progress)
    if progress.ready and not progress.waits:
        return take_over(lease, progress.ready)
    return soonest(progress.wait, leave, look)


def take_over(lease: Lease, ready: list[Replica]) -> Outcome:
    """A new revision is healthy: try it with a run, then give it the traffic."""
    problem = smoke.try_revision(lease, ready[0])
    if problem is not None:
        return settle_failure(lease, problem)
    traffic.switch_revision(lease, ready)
    return GO_ON


def others(deployment: Deployment) -> list[Replica]:
    """Return replicas that start for a revision that is not wanted any more."""
    rows = deployment.replicas.filter(status=ReplicaStatus.STARTING)
    return list(rows.exclude(revision=deployment.revision))


def drop_other_revisions(lease: Lease) -> None:
    """What started for an older wish goes; what serves stays."""
    found = others(lease.deployment)
    if found:
        with guarded(lease):
            leaving.drain(lease, found)
            Revision.objects.filter(
                deployment=lease.deployment, number__in={one.revision for one in found}, state=RevisionState.PENDING
            ).update(state=RevisionState.SUPERSEDED)


def error(lease: Lease) -> Outcome:
    """Remove what is left of the failed attempt; begin again when the user has asked for it."""
    leaving.abandon(lease, at_once=True)
    leave = leaving.retire(lease)
    if leave is not None:
        return Wait(leave)
    if lease.deployment.observed_generation < lease.deployment.generation:
        switch_status(lease, Status.QUEUED)
        return GO_ON
    return Wait(None)


def begin_pause(lease: Lease) -> Outcome:
    """Take everything out of the traffic; what runs now may end."""
    deployment = lease.deployment
    with guarded(lease):
        leaving.drain(lease, deployment.replicas.filter(status__in=["SERVING", "STARTING"]))
        switch_status(lease, Status.PAUSED, observed_generation=deployment.generation, watch_from=None, watch_until=None)
    checkpoint("paused")
    return GO_ON


def paused(lease: Lease) -> Outcome:
    """Remove all replicas; begin again when the user has asked for it, once they are gone."""
    deployment = lease.deployment
    leave = leaving.retire(lease)
    if leave is not None:
        return Wait(leave)
    if deployment.desired_state == DesiredState.RUNNING and deployment.status == Status.PAUSED:
        switch_status(lease, Status.QUEUED, wanted_replicas=max(1, deployment.min_replicas))
        return GO_ON
    return Wait(None)


def deleting(lease: Lease) -> Outcome:
    """Close the endpoint first, then remove every replica, then say that it is gone."""
    try:
        remove_route(lease.deployment.slug)
    except redis.RedisError:
        return Wait(RETRY_SECONDS)
    leaving.abandon(lease, at_once=True)
    leave = leaving.retire(lease)
    if leave is not None:
        if leaving.is_stuck(lease):
            switch_status(
                lease, Status.STUCK, reason=Reason("RESOURCE_STUCK", "Its provider has not removed a replica that it was asked to.")
            )
        return Wait(leave)
    # Without its references the workflow can be deleted; the names stay for the usage.
    switch_status(lease, Status.DELETED, workflow=None, wanted_version=None, observed_generation=lease.deployment.generation)
    checkpoint("deleted")
    return Wait(None)


def stuck(lease: Lease) -> Outcome:
    """Go on trying; what is gone at last can be deleted."""
    leave = leaving.retire(lease)
    if leave is not None:
        return Wait(leave)
    switch_status(lease, Status.DELETING)
    return GO_ON


def at_rest(lease: Lease) -> Outcome:
    """Nothing happens here any more."""
    return Wait(None)


STEPS: dict[Status, Callable[[Lease], Outcome]] = {
    Status.QUEUED: queued,
    Status.BUILDING: building,
    Status.SCALING: scaling,
    Status.RUNNING: running,
    Status.UPDATING: updating,
    Status.PAUSED: paused,
    Status.SUSPENDED: paused,
    Status.ERROR: error,
    Status.STUCK: stuck,
    Status.DELETING: deleting,
    Status.DELETED: at_rest,
}


def target(deployment: Deployment) -> int:
    """Return how many replicas there should be; while something starts or is replaced at least one, whatever the demand is."""
    wanted = min(max(deployment.wanted_replicas, deployment.min_replicas), deployment.max_replicas)
    return wanted if deployment.status == Status.RUNNING else max(1, wanted)


def wanted_bundle(lease: Lease) -> Bundle | None:
    """Return the wanted version's bundle if it is built."""
    version = lease.deployment.wanted_version
    return built_bundle(version) if version else None


def no_bundle(lease: Lease, status: Status) -> Outcome:
    """Wait if the build cannot be done now; go on if it was settled meanwhile."""
    return Wait(backoff.pause(lease.deployment.failed_attempts)) if lease.deployment.status == status else GO_ON


def ensure_bundle(lease: Lease) -> Bundle | None:
    """Return the bundle, building it if needed; None when that failed for good (settled) or cannot be done now (shown)."""
    version = lease.deployment.wanted_version
    if version is None:
        settle_failure(lease, Reason("ARCHIVE_MISSING", "The workflow has no version any more."))
        return None
    if (found := built_bundle(version)) is not None:
        show_build_log(lease.deployment.pk, found)
        return found
    try:
        return build_bundle(version, lambda: extend(lease))
    except BuildFailed as failure:
        with guarded(lease):
            settle_failure(lease, failure.reason)
    except Unavailable as problem:
        note_reason(lease, Reason(problem.code if isinstance(problem, BuildDelayed) else "OBJECT_STORE_DOWN", problem.detail))
    except NotFound as problem:
        note_reason(lease, Reason("ALGORITHM_CHANGED", f"A package was deleted while it was built in. {problem.detail}"))
    return None


def settle_failure(lease: Lease, reason: Reason) -> Outcome:
    """End a failed attempt: ERROR, or, where another revision serves, back to it with the reason shown.

    A newer intent that arrived meanwhile stays: the next look finds its generation unobserved.
    """
    deployment = lease.deployment
    former = Revision.objects.filter(deployment=deployment, number=deployment.served_revision).first()
    back = former if deployment.status == Status.UPDATING and former is not None and former.version_id is not None else None
    with guarded(lease):
        leaving.drain(lease, deployment.replicas.filter(status=ReplicaStatus.STARTING))
        failed = Revision.objects.filter(deployment=deployment, number=deployment.revision).exclude(number=deployment.served_revision)
        failed.update(state=RevisionState.FAILED, reason_code=reason.code, reason_detail=reason.detail)
        if back is not None:
            unchanged = Deployment.objects.filter(pk=deployment.pk, generation=deployment.generation)
            unchanged.update(revision=back.number, wanted_version=back.version_id, size=back.size)
        after = Status.ERROR if back is None else Status.RUNNING
        switch_status(lease, after, reason=reason, observed_generation=deployment.generation)
    return GO_ON
