"""The replicas of a revision: as many as planned, each asked after, each failure either tried again or told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from billing.errors import NoCredits
from controlplane.common import clock
from deployments import paying
from deployments.checkpoints import checkpoint
from deployments.leases import Lease, extend, guarded
from deployments.models import Deployment, Replica
from deployments.providers.base import Phase, ProviderError, ReplicaState
from deployments.providers.registry import provider
from deployments.reconcile import backoff, leaving
from deployments.reconcile.replicas import Plan, ensure, give_up, look, news_of, note_state, record_replicas
from deployments.routing import publish_on_commit
from deployments.states import ALIVE, Reason, ReplicaStatus
from deployments.transitions import note_reason

# The runtime itself gives a workflow 10 minutes to load its models.
START_DEADLINE = timedelta(minutes=11)
# Machines that fail by themselves are replaced this often before the user is told that it does not work.
START_ATTEMPTS = 3
FAILURES_COUNT_FOR = timedelta(minutes=15)
# What has served is tried longer, with pauses that double: 10 times take about 15 minutes at least.
PROVEN_ATTEMPTS = 10
PROVEN_COUNT_FOR = timedelta(hours=1)
LONGEST_PAUSE = timedelta(minutes=5)
# What serves for so long and is lost then is no failed start.
SERVED_WELL = timedelta(minutes=5)


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


def bring_up(lease: Lease, plan: Plan) -> Progress:
    """Have the replicas of a plan, serving or ready to."""
    progress = Progress()
    own = own_replicas(lease, plan.revision)
    surplus = own[plan.count :]
    if surplus:
        with guarded(lease):
            leaving.drain(lease, surplus)
            Deployment.objects.filter(pk=lease.deployment.pk).update(updated_at=clock.now())
            publish_on_commit(lease.deployment.pk)
        checkpoint("surplus_drained")
        progress.waits.append(leaving.SOON)
    kept = own[: plan.count]
    if len(kept) < plan.count and may_try(lease, plan, progress):
        try:
            kept += record_replicas(lease, plan, plan.count - len(kept))
        except NoCredits as refusal:
            progress.failure = Reason("NO_CREDITS", paying.start_refused(refusal))
    for replica in kept:
        if replica.status == ReplicaStatus.STARTING:
            extend(lease)
            start(lease, replica, progress, plan)
    return progress


def own_replicas(lease: Lease, revision: int) -> list[Replica]:
    """Return the living replicas of a revision, those first that are to stay when there are too many: serving ones, then older ones."""
    rows = lease.deployment.replicas.filter(revision=revision, status__in=ALIVE)
    return sorted(rows, key=lambda one: (one.status != ReplicaStatus.SERVING, one.ready_at is None, one.ordinal))


def may_try(lease: Lease, plan: Plan, progress: Progress) -> bool:
    """Tell whether another replica may be begun: what fails again and again is tried after pauses, and then no more; the last failure says why."""
    failures = failures_lately(lease, plan)
    if not failures:
        return True
    reason = Reason("START_FAILED", failures[-1].failure)
    if len(failures) >= (PROVEN_ATTEMPTS * max(1, plan.count) if plan.proven else START_ATTEMPTS):
        progress.failure = reason
        return False
    if not plan.proven:
        return True
    pause = min(timedelta(seconds=2 ** max(1, len(failures) // max(1, plan.count))), LONGEST_PAUSE)
    left = (ended_at(failures[-1]) + pause - clock.now()).total_seconds()
    if left <= 0:
        return True
    progress.trouble = reason
    progress.waits.append(left)
    return False


def failures_lately(lease: Lease, plan: Plan) -> list[Replica]:
    """Return the replicas of a revision that failed since somebody last wanted something, in a time that counts; the oldest first."""
    deployment = lease.deployment
    since = clock.now() - (PROVEN_COUNT_FOR if plan.proven else FAILURES_COUNT_FOR)
    rows = deployment.replicas.filter(revision=plan.revision, generation=deployment.generation, created_at__gte=since).exclude(failure="")
    return [row for row in rows.order_by("ordinal") if row.ready_at is None or ended_at(row) - row.ready_at < SERVED_WELL]


def ended_at(replica: Replica) -> datetime:
    """Return when a replica was given up, as near as the rows tell."""
    return replica.terminating_since or clock.now()


def start(lease: Lease, replica: Replica, progress: Progress, plan: Plan) -> None:
    """Ask for a replica that starts, and sort what the provider says of it."""
    try:
        state = ensure(replica)
    except ProviderError as problem:
        refused(replica, problem, progress, proven=plan.proven, attempts=lease.deployment.failed_attempts)
        return
    if state.phase is Phase.READY:
        note_ready(lease, replica, state)
        progress.ready.append(replica)
        return
    failure = starting(lease, replica, state, progress) if state.phase is Phase.STARTING else failed(lease, replica, state, progress)
    if failure is not None and plan.proven and len(failures_lately(lease, plan)) < START_ATTEMPTS * max(1, plan.count):
        # It worked before: the next look tries another one, after a pause.
        progress.trouble = failure
        progress.waits.append(0.0)
    elif failure is not None:
        progress.failure = failure


def starting(lease: Lease, replica: Replica, state: ReplicaState, progress: Progress) -> Reason | None:
    """Wait on, until the deadline; returns why there is no more to wait for."""
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
        return Reason("START_TIMEOUT", detail)
    # What shows at once what it has made is on this machine.
    remote = provider(replica.backend).visibility_delay > 0
    progress.waits.append(backoff.poll(age.total_seconds(), remote=remote))
    return None


def failed(lease: Lease, replica: Replica, state: ReplicaState, progress: Progress) -> Reason | None:
    """A replica that starts has failed: by the provider's fault another one is tried, by the workflow's the reason is returned."""
    passing = state.passing or state.phase is Phase.GONE
    detail = state.detail or "It ended before it was ready."
    give_up(lease, replica, detail, state)
    if passing:
        progress.waits.append(0.0)
        return None
    return Reason("START_FAILED", detail)


def refused(replica: Replica, problem: ProviderError, progress: Progress, *, proven: bool, attempts: int) -> None:
    """The provider did not take the call: wait out what may pass, until the deadline or, for what has served before, without one."""
    reason = Reason(problem.reason, str(problem))
    now = clock.now()
    in_time = now - (replica.begun_at or replica.created_at) <= START_DEADLINE
    if (problem.retryable and (in_time or proven)) or (problem.passing and proven):
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
            paying.tell_useful(replica)


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
    if news_of(replica, state):
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
