"""The replicas of the wanted revision: as many as wanted, each asked after, each failure either tried again or told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from controlplane.common import clock
from deployments.checkpoints import checkpoint
from deployments.leases import Lease, extend, guarded
from deployments.models import Bundle, Deployment, Replica
from deployments.providers.base import Phase, ProviderError, ReplicaState
from deployments.providers.registry import provider
from deployments.reconcile import backoff, leaving
from deployments.reconcile.replicas import ALIVE, ensure, give_up, look, note_state, record_replicas
from deployments.routing import publish_on_commit
from deployments.states import Reason, ReplicaStatus
from deployments.transitions import note_reason

# The runtime itself gives a workflow 10 minutes to load its models.
START_DEADLINE = timedelta(minutes=11)
# Machines that fail by themselves are replaced this often before the user is told that it does not work.
START_ATTEMPTS = 3
FAILURES_COUNT_FOR = timedelta(minutes=15)


@dataclass(slots=True)
class Progress:
    """What one look found: replicas that are healthy but not in the traffic yet, when to look again, and why there will never be enough."""

    ready: list[Replica] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    failure: Reason | None = None
    trouble: Reason | None = None

    @property
    def wait(self) -> float | None:
        """Return seconds until the next look that is worth it, None when nothing is under way."""
        return min(self.waits, default=None)


def bring_up(lease: Lease, bundle: Bundle, target: int, *, persistent: bool = False) -> Progress:
    """Have `target` replicas of the wanted revision, serving or ready to. `persistent`: refusals that may pass in time are no failure."""
    progress = Progress()
    own = own_replicas(lease)
    surplus = own[target:] if len(own) > target else []
    if surplus:
        with guarded(lease):
            leaving.drain(lease, surplus)
            Deployment.objects.filter(pk=lease.deployment.pk).update(updated_at=clock.now())
            publish_on_commit(lease.deployment.pk)
        checkpoint("surplus_drained")
        progress.waits.append(leaving.SOON)
    kept = own[:target]
    if len(kept) < target and not too_many_failures(lease, progress):
        kept += record_replicas(lease, bundle, target - len(kept))
    for replica in kept:
        if replica.status == ReplicaStatus.STARTING:
            extend(lease)
            start(lease, replica, progress, persistent=persistent)
    return progress


def own_replicas(lease: Lease) -> list[Replica]:
    """Return the living replicas of the wanted revision, those first that are to stay when there are too many: serving ones, then older ones."""
    deployment = lease.deployment
    rows = deployment.replicas.filter(revision=deployment.revision, status__in=ALIVE)
    return sorted(rows, key=lambda one: (one.status != ReplicaStatus.SERVING, one.ready_at is None, one.ordinal))


def too_many_failures(lease: Lease, progress: Progress) -> bool:
    """Stop replacing what fails again and again; the last failure says why."""
    deployment = lease.deployment
    since = max(deployment.status_since, clock.now() - FAILURES_COUNT_FOR)
    failed = deployment.replicas.filter(revision=deployment.revision, created_at__gte=since).exclude(failure="")
    if failed.count() < START_ATTEMPTS:
        return False
    last = failed.order_by("-ordinal").first()
    progress.failure = Reason("START_FAILED", last.failure if last else "")
    return True


def start(lease: Lease, replica: Replica, progress: Progress, *, persistent: bool) -> None:
    """Ask for a replica that starts, and sort what the provider says of it."""
    try:
        state = ensure(replica)
    except ProviderError as problem:
        refused(replica, problem, progress, persistent=persistent, attempts=lease.deployment.failed_attempts)
        return
    if state.phase is Phase.READY:
        note_ready(lease, replica, state)
        progress.ready.append(replica)
    elif state.phase is Phase.STARTING:
        starting(lease, replica, state, progress)
    else:
        failed(lease, replica, state, progress)


def starting(lease: Lease, replica: Replica, state: ReplicaState, progress: Progress) -> None:
    """Wait on, until the deadline."""
    if state.billed_from is not None and replica.billed_from is None:
        with guarded(lease):
            note_state(replica, state)
    if replica.ready_at is not None and replica.status == ReplicaStatus.STARTING:
        # It was healthy once and is not now: it does not count, and its time goes on.
        replica.ready_at = None
    age = clock.now() - (replica.begun_at or replica.created_at)
    if age > START_DEADLINE:
        detail = f"It was not ready after {START_DEADLINE.seconds // 60} minutes. {state.detail}".strip()
        give_up(lease, replica, detail, state)
        progress.failure = Reason("START_TIMEOUT", detail)
        return
    progress.waits.append(backoff.poll(age.total_seconds()))


def failed(lease: Lease, replica: Replica, state: ReplicaState, progress: Progress) -> None:
    """A replica that starts has failed: by the provider's fault another one is tried, by the workflow's it is told."""
    passing = state.passing or state.phase is Phase.GONE
    detail = state.detail or "It ended before it was ready."
    give_up(lease, replica, detail, state)
    if passing:
        progress.waits.append(0.0)
        return
    progress.failure = Reason("START_FAILED", detail)


def refused(replica: Replica, problem: ProviderError, progress: Progress, *, persistent: bool, attempts: int) -> None:
    """The provider did not take the call: wait out what may pass, until the deadline or, for what has served before, without one."""
    reason = Reason(problem.reason, str(problem))
    now = clock.now()
    in_time = now - (replica.begun_at or replica.created_at) <= START_DEADLINE
    if (problem.retryable and (in_time or persistent)) or (problem.passing and persistent):
        if problem.passing:
            # Nothing was begun: its time starts when there is room.
            Replica.objects.filter(pk=replica.pk).update(begun_at=now)
        progress.trouble = reason
        progress.waits.append(backoff.pause(attempts + 1))
        return
    progress.failure = reason


def note_ready(lease: Lease, replica: Replica, state: ReplicaState) -> None:
    """Keep address, workers and the first moment of health."""
    with guarded(lease):
        note_state(replica, state)
        if replica.ready_at is None:
            replica.ready_at = clock.now()
            Replica.objects.filter(pk=replica.pk).update(ready_at=replica.ready_at)


def look_after(lease: Lease) -> float | None:
    """Look at every serving replica: follow those that moved, give up those that failed or are gone. Returns when to look again, if soon."""
    waits = []
    for replica in lease.deployment.replicas.filter(status=ReplicaStatus.SERVING):
        extend(lease)
        try:
            state = look(replica)
        except ProviderError:
            # Nothing is known then; the replica may well serve.
            continue
        wait = judge(lease, replica, state)
        if wait is not None:
            waits.append(wait)
    return min(waits, default=None)


def judge(lease: Lease, replica: Replica, state: ReplicaState | None) -> float | None:
    """Act on what the provider says of a serving replica; returns seconds until it is worth another look."""
    if state is None:
        return missing(lease, replica)
    if state.phase in (Phase.FAILED, Phase.GONE, Phase.STOPPING):
        give_up(lease, replica, state.detail or "Its provider ended it.", state)
        return 0.0
    with guarded(lease):
        if note_state(replica, state):
            Deployment.objects.filter(pk=lease.deployment.pk).update(updated_at=clock.now())
        publish_on_commit(lease.deployment.pk)
    return None


def missing(lease: Lease, replica: Replica) -> float | None:
    """The provider has none of this name. Its lists may lag; after its known delay the replica is lost."""
    delay = provider(replica.backend).visibility_delay
    now = clock.now()
    if replica.missing_since is None and delay > 0:
        with guarded(lease):
            Replica.objects.filter(pk=replica.pk).update(missing_since=now)
        return delay / 4
    if replica.missing_since is not None and (now - replica.missing_since).total_seconds() < delay:
        return delay / 4
    give_up(lease, replica, "Its provider has it no more.")
    return 0.0


def tell_trouble(lease: Lease, progress: Progress) -> None:
    """Show why it takes longer than it should."""
    if progress.trouble is not None:
        note_reason(lease, progress.trouble)
