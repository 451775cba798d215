"""A new version that fails its callers in its first minutes is taken back by itself."""

from __future__ import annotations

from django.db import transaction

from controlplane.common import clock
from deployments.models import Deployment, Revision, RevisionKind
from deployments.revisions import INTENT, former_served, want_revision
from deployments.selectors_usage import faults_since
from deployments.states import DesiredState, Status
from deployments.wakeups import wake_on_commit

LEAST_RUNS = 5
# A version is taken back when this much more of its runs fail than of the former one's.
MOST_MORE_FAULTS = 0.3


def watch_new_revisions() -> int:
    """Look at every revision that took the traffic a short while ago; returns how many were taken back."""
    now = clock.now()
    Deployment.objects.filter(watch_until__lt=now).update(watch_from=None, watch_until=None)
    watched = Deployment.objects.filter(watch_until__gte=now, status=Status.RUNNING, desired_state=DesiredState.RUNNING)
    return sum(take_back(deployment, problem) for deployment in watched if (problem := faulty(deployment)))


def faulty(deployment: Deployment) -> str:
    """Return what went wrong, "" when nothing did."""
    if deployment.watch_from is None:
        return ""
    runs, faults = faults_since(deployment.pk, revision=deployment.served_revision, since=deployment.watch_from)
    if runs < LEAST_RUNS:
        return ""
    before = former_served(deployment)
    old_rate = 0.0
    if before is not None and before.served_at is not None:
        old_runs, old_faults = faults_since(deployment.pk, revision=before.number, since=before.served_at)
        old_rate = old_faults / old_runs if old_runs else 0.0
    if faults / runs < old_rate + MOST_MORE_FAULTS:
        return ""
    return f"{faults} of {runs} runs failed"


def take_back(deployment: Deployment, problem: str) -> bool:
    """Want the former revision again, unless somebody wants something else meanwhile."""
    with transaction.atomic():
        held = Deployment.objects.select_for_update(no_key=True).filter(
            pk=deployment.pk, generation=deployment.generation, status=Status.RUNNING, watch_until__isnull=False
        )
        locked = held.first()
        former = former_served(deployment)
        if locked is None or former is None or locked.revision != locked.served_revision:
            return False
        present = Revision.objects.get(deployment=locked, number=locked.revision)
        note = f"{problem} with {present.tag} on size {present.size}; went back to {former.tag} on size {former.size}."
        want_revision(locked, kind=RevisionKind.AUTO_ROLLBACK, version=former.version, size=former.size, actor=None, note=note)
        locked.generation += 1
        locked.next_check_at = locked.updated_at = clock.now()
        locked.watch_from = locked.watch_until = None
        locked.save(update_fields=[*INTENT, "watch_from", "watch_until"])
        wake_on_commit(locked.pk)
    return True
