"""One step for each status. A step can be repeated, and leaves the serving version alone."""

from __future__ import annotations

from collections.abc import Callable

import redis
from django.conf import settings

from deployments import paying
from deployments.bundles.build import built_bundle
from deployments.checkpoints import checkpoint
from deployments.leases import Lease, guarded
from deployments.models import Bundle, Deployment, Replica, Revision, RevisionState
from deployments.reconcile import backoff, fleet, leaving, smoke, traffic
from deployments.reconcile.awaiting import await_bundle, wanted_bundle
from deployments.reconcile.outcome import GO_ON, Outcome, Wait, soonest
from deployments.reconcile.plans import target, wanted_plan, within_limits
from deployments.reconcile.replicas import Plan
from deployments.reconcile.settling import settle_failure
from deployments.routing import remove_route
from deployments.services import want_deletion
from deployments.states import DesiredState, Reason, ReplicaStatus, Status
from deployments.transitions import note_reason, switch_status

RETRY_SECONDS = 2.0
# What runs is looked at when the sweep sees a difference; this is only for what a sweep could miss. Of a thousand at rest it is one each 14 s.
AT_REST_SECONDS = 4 * 3600.0
STRANGE_SECONDS = 60.0
PAUSABLE = frozenset({Status.QUEUED, Status.BUILDING, Status.SCALING, Status.RUNNING, Status.UPDATING, Status.ERROR})
SUSPENDABLE = PAUSABLE - {Status.ERROR}


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
    if deployment.stop_code and deployment.is_instance and status in SUSPENDABLE:
        return stop(lease)
    return STEPS[status](lease)


def queued(lease: Lease) -> Outcome:
    """Begin to build."""
    switch_status(lease, Status.BUILDING)
    return GO_ON


def building(lease: Lease) -> Outcome:
    """Have the wanted version's bundle."""
    found = await_bundle(lease)
    if isinstance(found, Bundle):
        switch_status(lease, Status.SCALING)
        return GO_ON
    return found


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
    progress = fleet.bring_up(lease, wanted_plan(deployment, bundle))
    if progress.ready:
        # One is enough to serve; the others follow.
        outcome = take_over(lease, progress.ready)
        return Wait(AT_REST_SECONDS) if is_whole(lease, progress) else outcome
    if progress.failure is not None and not progress.waits:
        unpaid = progress.failure.code == "NO_CREDITS"
        return begin_suspension(lease, progress.failure) if unpaid else settle_failure(lease, progress.failure)
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
    progress = fleet.bring_up(lease, wanted_plan(deployment, bundle))
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
    kept = keep_serving(lease)
    found = await_bundle(lease)
    if found is GO_ON:
        return GO_ON
    if isinstance(found, Wait):
        return soonest(found.seconds, leave, look, kept)
    progress = fleet.bring_up(lease, wanted_plan(deployment, found))
    if progress.failure is not None and not goes_on_with_fewer(progress):
        return settle_failure(lease, progress.failure)
    fleet.tell_trouble(lease, progress)
    if progress.ready and not progress.waits:
        return take_over(lease, progress.ready)
    return soonest(progress.wait, leave, look, kept)


def goes_on_with_fewer(progress: fleet.Progress) -> bool:
    """Tell whether credits do not do for another replica while some are reserved already: these are enough to take over."""
    return progress.failure is not None and progress.failure.code == "NO_CREDITS" and bool(progress.ready or progress.waits)


def keep_serving(lease: Lease) -> float | None:
    """While another revision is on its way, have as many replicas of the one that serves as the calls need; what fails of it decides nothing.

    Returns when to look again, if soon.
    """
    deployment = lease.deployment
    rows = Revision.objects.filter(deployment=deployment, number=deployment.served_revision)
    served = rows.select_related("version").defer("version__data").first()
    bundle = built_bundle(served.version) if served is not None and served.version is not None else None
    if served is None or bundle is None:
        return None
    plan = Plan(served.number, served.version_id, served.size, bundle.digest, within_limits(deployment), proven=True)
    progress = fleet.bring_up(lease, plan)
    if progress.ready:
        traffic.add_to_traffic(lease, progress.ready)
    return progress.wait


def take_over(lease: Lease, ready: list[Replica]) -> Outcome:
    """A new revision is healthy: try it with a run, then give it the traffic."""
    problem = smoke.try_revision(lease, ready[0])
    if problem is not None:
        return settle_failure(lease, problem)
    traffic.switch_revision(lease, ready)
    return GO_ON


def others(deployment: Deployment) -> list[Replica]:
    """Return replicas that start for a revision that is not wanted any more. While another one comes, that which serves is."""
    rows = deployment.replicas.filter(status=ReplicaStatus.STARTING)
    wanted = {deployment.revision}
    if deployment.status == Status.UPDATING:
        wanted.add(deployment.served_revision)
    return list(rows.exclude(revision__in=wanted))


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


def stop(lease: Lease) -> Outcome:
    """Billing says that an instance must not run: suspend it, or delete it where the operator wants that of those without credits."""
    deployment = lease.deployment
    if deployment.stop_code == "NO_CREDITS" and settings.CREDIT_EXHAUSTION == "delete":
        want_deletion(deployment)
        return GO_ON
    return begin_suspension(lease, Reason(deployment.stop_code, deployment.stop_detail))


def begin_suspension(lease: Lease, reason: Reason) -> Outcome:
    """Take everything out of the traffic; runs in hand may end, the URL stays. Resuming takes one action: it is wanted paused from here on."""
    deployment = lease.deployment
    with guarded(lease):
        leaving.drain(lease, deployment.replicas.filter(status__in=["SERVING", "STARTING"]))
        # A newer intent stays: the next look finds its generation unobserved.
        Deployment.objects.filter(pk=deployment.pk, generation=deployment.generation).update(desired_state=DesiredState.PAUSED)
        switch_status(lease, Status.SUSPENDED, reason=reason, observed_generation=deployment.generation, watch_from=None, watch_until=None)
    checkpoint("suspended")
    return GO_ON


def paused(lease: Lease) -> Outcome:
    """Remove all replicas; begin again when the user has asked for it, once they are gone and nothing stops it."""
    deployment = lease.deployment
    leave = leaving.retire(lease)
    if leave is not None:
        return Wait(leave)
    if deployment.desired_state != DesiredState.RUNNING:
        return Wait(None)
    if deployment.stop_code and deployment.is_instance:
        # What this start reserved may be the very credits that are missing; those that came in meanwhile are on their way here.
        if paying.is_stopped(deployment):
            paying.end_start(deployment)
        return Wait(None)
    switch_status(lease, Status.QUEUED, wanted_replicas=max(1, deployment.min_replicas))
    return GO_ON


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
