"""What must be true of every seed once things have calmed down."""

from __future__ import annotations

import json
from collections.abc import Iterator

from billing.balances import standing_of
from billing.holds import held_for
from billing.models import Account, Funding, Hold, LedgerEntry, MeteredResource, Posting, Wallet
from controlplane.common.valkey import valkey
from deployments.models import Alert, Deployment, Replica, Revision, RevisionState, StatusChange
from deployments.reconcile.plans import target
from deployments.routing import route_key
from deployments.states import ALLOWED, NEXT_STEPS, SERVING_STATUSES, ReplicaStatus, Status
from tests.chaos.world import World

AT_REST = {Status.RUNNING, Status.PAUSED, Status.SUSPENDED, Status.ERROR, Status.DELETED, Status.STUCK}
STARTING = {Status.QUEUED, Status.BUILDING, Status.SCALING}


def untruths(world: World) -> list[str]:
    """Return everything that is not as it must be, in words."""
    return [
        *of_resources(world),
        *of_deployments(world),
        *of_bills(world),
        *of_charges(world),
        *of_money(world),
        *of_reasons(),
        *of_history(world),
    ]


def of_resources(world: World) -> Iterator[str]:
    """What runs at the cloud is what the database has, no more and no less."""
    live = world.cloud.live()
    known = set(Replica.objects.exclude(status=ReplicaStatus.TERMINATED).values_list("name", flat=True))
    if live != known:
        yield f"the cloud has {sorted(live - known)} more and {sorted(known - live)} less than the database"
    for alert in Alert.objects.filter(kind="ORPHAN", cleared_at=None):
        yield f"an orphan is left: {alert.subject}"


def of_deployments(world: World) -> Iterator[str]:
    """Every deployment is at rest, with as many replicas as are wanted, and its route says so."""
    for deployment in Deployment.objects.filter(pk__in=world.deployments):
        name = f"{deployment.pk} ({deployment.status})"
        serving = deployment.replicas.filter(status=ReplicaStatus.SERVING)
        if deployment.status not in AT_REST:
            yield f"{name} is not at rest: {deployment.reason_code} {deployment.reason_detail}"
        if deployment.status == Status.STUCK and not Alert.objects.filter(deployment_id=deployment.pk, cleared_at=None).exists():
            yield f"{name} is stuck without an alert"
        if deployment.lease_token is not None and deployment.lease_expires_at is not None and deployment.lease_expires_at > world.now:
            yield f"{name} is still leased"
        wanted = target(deployment) if deployment.status == Status.RUNNING else 0
        if serving.count() != wanted and not (serving.count() and is_short_of_credits(world, deployment)):
            yield f"{name} serves with {serving.count()} replicas, not {wanted}: {deployment.reason_code} {deployment.reason_detail}"
        if any(replica.revision != deployment.served_revision for replica in serving):
            yield f"{name} serves with replicas of an old revision"
        if deployment.status == Status.RUNNING and deployment.observed_generation != deployment.generation:
            yield f"{name} has not seen the last wish"
        yield from of_route(deployment, sorted(serving.values_list("name", flat=True)), name)


def is_short_of_credits(world: World, deployment: Deployment) -> bool:
    """Tell whether a deployment goes on with fewer replicas for want of credits: it says so, and they do not do for one more."""
    return deployment.reason_code == "NO_CREDITS" and standing_of(world.wallet.pk).available < held_for(deployment.offer.price)


def of_route(deployment: Deployment, serving: list[str], name: str) -> Iterator[str]:
    """The table that gateways read, where it has the endpoint, has what serves."""
    text = valkey().get(route_key(deployment.slug))
    if text is None:
        return
    route = json.loads(text)
    if deployment.status == Status.DELETED:
        yield f"{name} still has a route"
    elif sorted(replica["id"] for replica in route["replicas"]) != serving:
        yield f"{name} is routed to {route['replicas']}, but {serving} serve"


def of_bills(world: World) -> Iterator[str]:
    """Billed seconds are the cloud's seconds."""
    rows = {replica.name: replica for replica in Replica.objects.filter(backend=world.backend)}
    for name, machine in world.cloud.machines.items():
        row = rows.get(name)
        charged = 0.0
        if row is not None and row.billed_from is not None:
            charged = ((row.billed_until or world.now) - row.billed_from).total_seconds()
        if abs(charged - machine.billed(world.now)) > 1:
            yield f"{name}: {charged:.1f} s charged, {machine.billed(world.now):.1f} s used"


def of_charges(world: World) -> Iterator[str]:
    """Each instance is charged for the seconds that the cloud counts, those that broke or got stuck for no more, and those that never served for none."""
    for resource in MeteredResource.objects.select_related("price"):
        replica = Replica.objects.get(pk=resource.pk)
        machine = world.cloud.machines.get(replica.name)
        entries = list(LedgerEntry.objects.filter(key__endswith=f":{resource.pk}").values_list("quantity", "amount"))
        charged = sum(quantity or 0 for quantity, _ in entries)
        used = machine.billed(world.now) if machine else 0.0
        if sum(amount for _, amount in entries) != charged * resource.price.micro_credits:
            yield f"{replica.name}: {charged} s are charged with another sum"
        back = sum(LedgerEntry.objects.filter(reverses__key__endswith=f":{resource.pk}").values_list("amount", flat=True))
        charged -= back // resource.price.micro_credits
        if charged > used + 1 or (charged and replica.ready_at is None):
            yield f"{replica.name}: {charged} s charged, {used:.1f} s used"
        ended = replica.status == ReplicaStatus.TERMINATED
        if ended and resource.closed_at is None:
            yield f"{replica.name} is gone, and its account is open"
        if ended and replica.ready_at and not resource.cut_off and charged < used - 1:
            yield f"{replica.name}: only {charged} of {used:.1f} s charged"


def of_money(world: World) -> Iterator[str]:
    """What is reserved is for what runs or is about to, who cannot pay has no instance, and what was charged came from somewhere."""
    alive = {str(pk) for pk in Replica.objects.exclude(status=ReplicaStatus.TERMINATED).values_list("pk", flat=True)}
    starting = {f"start:{pk}" for pk in Deployment.objects.filter(status__in=STARTING).values_list("pk", flat=True)}
    for resource in Hold.objects.filter(released_at=None).values_list("resource", flat=True):
        if resource not in alive | starting:
            yield f"credits are still reserved for {resource}"
    wallet = Wallet.objects.get(pk=world.wallet.pk)
    for deployment in Deployment.objects.filter(pk__in=world.deployments, status__in=SERVING_STATUSES):
        if wallet.funding == Funding.EXHAUSTED and deployment.is_instance:
            yield f"{deployment.pk} ({deployment.status}) serves and nobody pays"
        if wallet.funding == Funding.FUNDED and deployment.stop_code:
            yield f"{deployment.pk} is stopped by {deployment.stop_code}, and there are credits"
    if standing_of(wallet.pk).balance < 0:
        yield "the balance is below zero"
    charges = sum(LedgerEntry.objects.filter(kind="CHARGE").values_list("amount", flat=True))
    if charges != sum(Posting.objects.filter(target=Account.REVENUE).values_list("amount", flat=True)):
        yield "charges and postings differ"


def of_reasons() -> Iterator[str]:
    """Every failure has a reason, and every reason says what to do."""
    failures = Deployment.objects.filter(status__in=[Status.ERROR, Status.STUCK]).values_list("reason_code", flat=True)
    revisions = Revision.objects.filter(state=RevisionState.FAILED).values_list("reason_code", flat=True)
    for code in {*failures, *revisions}:
        if code not in NEXT_STEPS:
            yield f"a failure has the reason '{code}', for which there is no next step"


def of_history(world: World) -> Iterator[str]:
    """Each switch begins where the last one ended, and is one of the table's."""
    for pk in world.deployments:
        before = ""
        for change in StatusChange.objects.filter(deployment_id=pk).order_by("created_at", "pk"):
            if change.before != before:
                yield f"{pk} switched from {change.before}, but was {before}"
            if before and change.after != before and Status(change.after) not in ALLOWED[Status(before)]:
                yield f"{pk} switched {before} → {change.after}"
            before = change.after
