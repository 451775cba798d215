"""What the providers have against what the database says, both ways, in one look at each provider.

A replica that is not as its row says is looked at by the reconciler. One that the database does not know, or knows as gone, is removed after
a grace period and told to the operators: nothing is left running.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

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
COMPARED = ("name", "status", "address", "workers", "missing_since")
LOST = frozenset({Phase.FAILED, Phase.GONE, Phase.STOPPING})
# Status, address, workers, missing since.
RowValues = list[Any]


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
        # Read first: a replica that is recorded after this is not taken for an orphan, for its row is looked up again. As plain values: of a
        # thousand replicas at rest nothing more is needed.
        living = Replica.objects.filter(backend=backend).exclude(status=ReplicaStatus.TERMINATED)
        rows: dict[str, RowValues] = {name: values for name, *values in living.values_list(*COMPARED)}
        try:
            listed = {state.name: state for state in provider(backend).list_replicas()}
        except ProviderError as error:
            logger.warning("no look at %s: %s", backend, error)
            note_silence(backend, str(error))
            continue
        note_answer(backend)
        seen.differing += wake([name for name, values in rows.items() if differs(values, listed.get(name))])
        for name in sorted(listed.keys() - rows.keys()):
            if listed[name].phase is not Phase.GONE and OURS.fullmatch(name):
                consider_orphan(backend, listed[name], seen)
        forget_gone_orphans(backend, listed)
    return seen


def differs(values: RowValues, state: ReplicaState | None) -> bool:
    """Tell whether a row is to be looked at. Replicas that start or leave are looked at by themselves."""
    status, address, workers, missing_since = values
    if status != ReplicaStatus.SERVING:
        return False
    if state is None or state.phase in LOST:
        return True
    return address != state.address or workers != state.workers or missing_since is not None


def wake(names: list[str]) -> int:
    """Have the deployments of these replicas looked at now; returns how many."""
    if not names:
        return 0
    pks = set(Replica.objects.filter(name__in=names).values_list("deployment_id", flat=True))
    Deployment.objects.filter(pk__in=pks).update(next_check_at=clock.now())
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
