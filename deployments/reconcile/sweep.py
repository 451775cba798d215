"""What the providers have against what the database says, both ways, in one look at each provider.

A replica that is not as its row says is looked at by the reconciler. One that the database does not know, or knows as gone, is removed after
a grace period and told to the operators: nothing is left running.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from controlplane.common import clock
from deployments.alerts import clear_alert, raise_alert
from deployments.models import Alert, AlertKind, Deployment, Replica
from deployments.providers.base import Phase, ProviderError, ReplicaState, StillWorking
from deployments.providers.registry import backends, provider
from deployments.reconcile.overdue import note_answer, note_silence
from deployments.states import ReplicaStatus
from deployments.wakeups import send_wakeup

logger = logging.getLogger(__name__)

GRACE = timedelta(minutes=10)
# Names of this product's replicas; a provider lists only those that carry this installation's tags.
OURS = re.compile(r"d[0-9a-f]{32}-[gr][0-9]+(-[0-9]+)?")
COMPARED = ("name", "deployment_id", "status", "address", "workers", "missing_since")


@dataclass(slots=True)
class Seen:
    """What one sweep did: deployments that are to be looked at, resources that nobody knows, and those of them that were removed."""

    differing: int = 0
    orphans: int = 0
    removed: int = 0


def sweep_providers() -> Seen:
    """Compare every provider with the database; one that does not answer is left for the next turn."""
    seen = Seen()
    for backend in backends():
        # Read first: a replica that is recorded after this is not taken for an orphan, for its row is looked up again.
        living = Replica.objects.filter(backend=backend).exclude(status=ReplicaStatus.TERMINATED)
        rows = {row.name: row for row in living.only(*COMPARED)}
        try:
            listed = {state.name: state for state in provider(backend).list_replicas()}
        except ProviderError as error:
            logger.warning("no look at %s: %s", backend, error)
            note_silence(backend, str(error))
            continue
        note_answer(backend)
        differing = {row.deployment_id for row in rows.values() if differs(row, listed.get(row.name))}
        seen.differing += wake(differing)
        for name in sorted(listed.keys() - rows.keys()):
            if listed[name].phase is not Phase.GONE and OURS.fullmatch(name):
                consider_orphan(backend, listed[name], seen)
        forget_gone_orphans(backend, listed)
    return seen


def differs(row: Replica, state: ReplicaState | None) -> bool:
    """Tell whether a row is to be looked at. Replicas that start or leave are looked at by themselves."""
    if row.status != ReplicaStatus.SERVING:
        return False
    if state is None or state.phase in (Phase.FAILED, Phase.GONE, Phase.STOPPING):
        return True
    return (row.address, row.workers) != (state.address, state.workers) or row.missing_since is not None


def wake(pks: set[UUID]) -> int:
    """Have these deployments looked at now."""
    now = clock.now()
    Deployment.objects.filter(pk__in=pks).update(next_check_at=now)
    for pk in pks:
        send_wakeup(pk)
    return len(pks)


def consider_orphan(backend: str, state: ReplicaState, seen: Seen) -> None:
    """Note a resource that the database does not know; remove it once it has been unknown for the grace period."""
    if Replica.objects.filter(name=state.name).exclude(status=ReplicaStatus.TERMINATED).exists():
        return
    seen.orphans += 1
    alert = raise_alert(
        AlertKind.ORPHAN,
        state.name,
        detail=f"{backend} has {state.name} ({state.phase}), which no deployment needs. It is removed after {GRACE.seconds // 60} minutes.",
    )
    if clock.now() - alert.created_at < GRACE:
        return
    try:
        provider(backend).delete_replica(state.name)
    except StillWorking:
        return
    except ProviderError as error:
        logger.warning("cannot remove the orphan %s: %s", state.name, error)
        return
    seen.removed += 1


def forget_gone_orphans(backend: str, listed: dict[str, ReplicaState]) -> None:
    """Clear the alerts of orphans that are gone, however they went."""
    for alert in Alert.objects.filter(kind=AlertKind.ORPHAN, cleared_at=None, detail__startswith=f"{backend} "):
        state = listed.get(alert.subject)
        if state is None or state.phase is Phase.GONE:
            clear_alert(AlertKind.ORPHAN, alert.subject)
