"""What deployments tell billing, and ask of it. Instances reserve credits before they start, and say when they began and ended; runs are charged in usage.py."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q

from billing.errors import NoCredits
from billing.holds import held_for, place_hold, release_hold, require_available, take_over
from billing.metering import forget_instance, meter, note_instance, register_instance
from billing.models import BilledDeployment, MeteredResource, Wallet
from billing.prices import price_ids
from billing.pricing import Unit, credits_text
from billing.verdicts import require_uncapped, verdict_on
from billing.wallets import open_wallet, wallet_of
from controlplane.workspaces.models import Namespace
from deployments.models import Deployment, Replica
from deployments.offers import Offer, offer_of
from deployments.states import ALIVE, SERVING_STATUSES, ReplicaStatus, Status

HAS_INSTANCES = SERVING_STATUSES | {Status.SCALING}
RESTING = frozenset({Status.PAUSED, Status.SUSPENDED})


def open_account(deployment: Deployment, namespace: Namespace) -> None:
    """Tell billing of a new deployment, and reserve what its first instances need. Raises `NoCredits` and `CapReached`."""
    wallet_of(namespace)
    BilledDeployment.objects.create(deployment_id=deployment.pk, **described(deployment))
    reserve_start(deployment)


def open_missing_accounts(deployment_ids: Iterable[UUID]) -> set[UUID]:
    """Tell billing of deployments that it does not know: those from before it was there. Returns the ones that it knows now."""
    found = list(Deployment.objects.filter(pk__in=list(deployment_ids)).select_related("workflow"))
    for one in found:
        BilledDeployment.objects.get_or_create(deployment_id=one.pk, defaults=described(one))
    return {one.pk for one in found}


def described(deployment: Deployment) -> dict[str, Any]:
    """Return how bills name a deployment."""
    return {
        "wallet_id": wallet_id_of(deployment),
        "project_id": deployment.workflow.project_id if deployment.workflow else deployment.namespace_id,
        "label": deployment.path,
        "offer": f"{deployment.provider} {deployment.region} {deployment.flavour} {deployment.size}",
    }


def reserve_start(deployment: Deployment) -> None:
    """Reserve what a start needs, until its instances do so themselves. Raises `NoCredits` and `CapReached`; then nothing is reserved.

    Where a pause is taken back that nobody has followed yet, the instances are there and have theirs.
    """
    wallet = wallet_id_of(deployment)
    require_uncapped(wallet, deployment.pk)
    amount = held_for(deployment.offer.price, instances=max(1, deployment.min_replicas))
    if not amount:
        require_available(wallet, 0)
    elif deployment.status not in HAS_INSTANCES:
        place_hold(wallet_id=wallet, resource=start_key(deployment.pk), deployment_id=deployment.pk, amount=amount)


def require_funds_beside(deployment: Deployment, *, size: str) -> None:
    """Raise `NoCredits` unless instances of this size can be started beside those that run, as an update does. Reserves nothing."""
    offer = offer_of(provider=deployment.provider, flavour=deployment.flavour, size=size)
    amount = held_for(offer.price)
    if amount:
        require_available(wallet_id_of(deployment), amount)


def start_refused(refusal: NoCredits) -> str:
    """Return why an instance could not start, for all who may see the deployment or call it: what a workspace has is for its managers."""
    return f"Starting an instance reserves {credits_text(refusal.required)} credits (15 minutes), and the workspace has not that much available."


def is_stopped(deployment: Deployment) -> bool:
    """Ask billing itself whether an instance must not run: what it said before is in the row."""
    return verdict_on(wallet_id_of(deployment)).stop(deployment.pk, instance=True) is not None


def end_start(deployment: Deployment) -> None:
    """Give back what a start reserved that will not come to it any more."""
    if deployment.is_instance:
        release_hold(start_key(deployment.pk))


def take_start_back(deployment: Deployment) -> None:
    """Give back what a resume reserved that is paused again before it began. Call it under the deployment's lock."""
    if deployment.status in RESTING:
        end_start(deployment)


def reserve_replica(replica: Replica) -> None:
    """Reserve for one instance before its provider hears of it, and tell the meter. Raises `NoCredits`. Call it under the deployment's guard."""
    offer = offer_of_replica(replica)
    if offer.price.unit is not Unit.SECOND:
        return
    deployment = replica.deployment
    wallet = wallet_id_of(deployment)
    resource, amount = str(replica.pk), held_for(offer.price)
    if not take_over(start_key(deployment.pk), resource=resource, amount=amount):
        # Too little is left of it, or it was for a smaller size: nothing else could ever use it.
        end_start(deployment)
        place_hold(wallet_id=wallet, resource=resource, deployment_id=deployment.pk, amount=amount)
    price = price_ids([(offer.product, offer.price)])[offer.product, offer.price]
    register_instance(resource_id=replica.pk, wallet_id=wallet, deployment_id=deployment.pk, price_id=price)


def tell_times(replica: Replica, *, began: datetime | None = None, ended: datetime | None = None) -> None:
    """Tell the meter when the provider says that an instance began and ended."""
    if is_metered(replica):
        note_instance(replica.pk, started_at=began, stopped_at=ended)


def tell_useful(replica: Replica) -> None:
    """Tell the meter that an instance was healthy: from its start on it is charged."""
    if is_metered(replica):
        note_instance(replica.pk, billable=True)


def tell_ending(replica: Replica, at: datetime) -> None:
    """Tell the meter that an instance is to end: charged up to here until its provider confirms the end."""
    if is_metered(replica):
        note_instance(replica.pk, ending_at=at)


def tell_failed(replica: Replica, at: datetime) -> None:
    """Tell the meter that an instance failed, was lost, or does not end: nothing is charged from here on."""
    if is_metered(replica):
        note_instance(replica.pk, ending_at=at, cut_off=True)


def register_missing() -> int:
    """Tell the meter of instances that it does not know: from before there was one. They are charged from the moment their wallet was opened on."""
    known = MeteredResource.objects.filter(pk=OuterRef("pk"))
    rows = Replica.objects.filter(status__in=ALIVE, ready_at__isnull=False, billed_from__isnull=False).filter(~Exists(known))
    found = [row for row in rows.select_related("deployment") if is_metered(row)]
    for replica in found:
        offer = offer_of_replica(replica)
        wallet = Wallet.objects.get(pk=wallet_id_of(replica.deployment))
        open_missing_accounts([replica.deployment_id])
        price = price_ids([(offer.product, offer.price)])[offer.product, offer.price]
        register_instance(resource_id=replica.pk, wallet_id=wallet.pk, deployment_id=replica.deployment_id, price_id=price)
        note_instance(replica.pk, started_at=max(replica.billed_from or wallet.created_at, wallet.created_at), billable=True)
    return len(found)


def settle_account(replica: Replica) -> None:
    """An instance is gone: charge what is left of its time and give back what was reserved. `settle_missing` does it if this is cut short."""
    if is_metered(replica):
        forget_instance(replica.pk)
        meter(resource_ids=[replica.pk])


def settle_missing() -> int:
    """Settle what is gone or stuck and was not settled, because a worker died in between: the meter does not see what was never of use."""
    over = Q(status=ReplicaStatus.TERMINATED) | Q(stuck_since__isnull=False)
    rows = Replica.objects.filter(over, pk__in=MeteredResource.objects.filter(closed_at=None).values("pk"))
    found = list(rows.select_related("deployment"))
    for replica in found:
        settle_account(replica)
    return len(found)


def is_metered(replica: Replica) -> bool:
    """Tell whether a replica's time is paid."""
    return offer_of_replica(replica).price.unit is Unit.SECOND


def offer_of_replica(replica: Replica) -> Offer:
    """Return the offer that a replica runs on."""
    deployment = replica.deployment
    return offer_of(provider=deployment.provider, flavour=deployment.flavour, size=replica.size)


def wallet_id_of(deployment: Deployment) -> UUID:
    """Return the wallet that pays for a deployment."""
    found: UUID | None = Wallet.objects.values_list("pk", flat=True).filter(workspace_id=deployment.workspace_id).first()
    if found is None:
        namespace = Namespace.objects.filter(pk=deployment.namespace_id).first()
        return open_wallet(deployment.workspace_id, is_personal=namespace is not None and namespace.is_personal).pk
    return found


def start_key(deployment_id: UUID) -> str:
    """Return the name of what is reserved for a deployment's first instances."""
    return f"start:{deployment_id}"
