"""What a deployment would cost, whether it can start, and how long the credits would last: before anything is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from billing.allowances import Allowance, Quota, allowance_of
from billing.balances import standing_of
from billing.errors import CapReached
from billing.forecast import SECONDS_PER_HOUR, burn_of, lasts_until, pockets_of
from billing.funding import unmetered
from billing.holds import held_for, require_available
from billing.models import Wallet
from billing.pricing import Unit, cost_of_run, credits_text
from billing.quotas import QuotaUse, quota_reached, quota_use, require_infrastructure
from billing.verdicts import verdict_on
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.common.errors import InvalidInput, SlipwayError
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.services import visible_namespace
from deployments.offers import Offer, find_offer
from deployments.services import scaling_of

RUNS_PRICED = 1000


def quote_deployment(
    *,
    actor: User,
    namespace_id: UUID,
    provider: str,
    region: str,
    flavour: str,
    size: str,
    min_replicas: int | None = None,
    run_ms: int = 1000,
) -> dict[str, Any]:
    """Return the price of a deployment on an offer, what stands in its way, and how long the credits last with it beside what runs now.

    Changes nothing. `min_replicas` None is what a new deployment begins with. Raises `NotFound`, `PermissionDenied`, `InvalidInput` (no such
    offer, an instance that is to sleep).
    """
    namespace = visible_namespace(actor, namespace_id)
    require(actor, Permission.DEPLOYMENT_CREATE, namespace)
    offer = find_offer(provider=provider, region=region, flavour=flavour, size=size)
    least = scaling_of(offer.flavour).get("min_replicas", 1) if min_replicas is None else min_replicas
    if least == 0 and offer.price.unit is Unit.SECOND:
        detail = "min_replicas 0 is for SERVERLESS: an instance does not sleep."
        raise InvalidInput("bad_scaling", detail, fields={"min_replicas": [detail]})
    wallet = wallet_of(namespace)
    instances = max(1, least) if offer.price.unit is Unit.SECOND else 0
    told = {"provider": offer.provider, "region": region.upper(), "flavour": offer.flavour, "size": offer.size, "backend": offer.backend}
    return {
        **told,
        "product": offer.product,
        "min_replicas": least,
        "price": offer.price,
        **costs(offer, instances=instances, run_ms=run_ms),
        **start(wallet, offer, instances=instances),
        **duration(wallet, offer, instances=instances, run_ms=run_ms),
    }


def costs(offer: Offer, *, instances: int, run_ms: int) -> dict[str, Any]:
    """Return what it costs by the hour where instances are paid, and by the run where execution is."""
    hour, run = offer.price.micro_credits * SECONDS_PER_HOUR * instances, cost_of_run(offer.price, duration_ms=run_ms)
    return {
        "micro_credits_an_hour": hour,
        "credits_an_hour": credits_text(hour),
        "run_ms": run_ms,
        "micro_credits_a_thousand_runs": run * RUNS_PRICED,
        "credits_a_thousand_runs": credits_text(run * RUNS_PRICED),
    }


def start(wallet: Wallet, offer: Offer, *, instances: int) -> dict[str, Any]:
    """Return what is reserved to start it, what is there, and everything that stands in its way."""
    reserved = held_for(offer.price, instances=instances)
    allowance, available = allowance_of(wallet), standing_of(wallet.pk).available
    use = quota_use(wallet, allowance, Quota.DEPLOYMENTS)
    refusals = list(refused(wallet, offer, allowance, use, reserved))
    short = any(error.code == "no_credits" for error in refusals)
    return {
        "reserved": reserved,
        "available": available,
        "missing": max(1, reserved) - max(0, available) if short else 0,
        "plan": allowance.plan.code if allowance.plan else None,
        "in_plan": allowance.has(f"{offer.provider} {offer.flavour}"),
        "deployments_left": None if use.limit is None else max(0, use.limit - use.used),
        "can_start": not refusals,
        "refusals": [{"code": error.code, "detail": error.detail} for error in refusals],
    }


def refused(wallet: Wallet, offer: Offer, allowance: Allowance, use: QuotaUse, reserved: int) -> Iterator[SlipwayError]:
    """Yield every refusal that a deployment would meet now."""
    if use.limit is not None and use.used >= use.limit:
        yield quota_reached(allowance, use.quota, limit=use.limit, used=use.used)
    if detail := verdict_on(wallet.pk).caps.get(None):
        yield CapReached(f"{detail} Raise or remove the cap, then try again.")
    checks: tuple[Callable[[], None], ...] = (
        lambda: require_infrastructure(wallet, provider=offer.provider, flavour=offer.flavour),
        lambda: require_available(wallet.pk, reserved),
    )
    for check in checks:
        try:
            check()
        except SlipwayError as error:
            yield error


def duration(wallet: Wallet, offer: Offer, *, instances: int, run_ms: int) -> dict[str, Any]:
    """Return until when the credits last as things are, and with this beside them; and how many runs they pay where runs are paid."""
    standing, burn, pockets, now = standing_of(wallet.pk), burn_of(wallet.pk), pockets_of(wallet.pk), clock.now()
    free = bool(unmetered([wallet.pk]))
    more = burn.with_more(offer.price.micro_credits * instances, instances=instances)
    run = cost_of_run(offer.price, duration_ms=run_ms)
    return {
        "lasts_until_now": None if free else lasts_until(pockets, burn, since=now),
        "lasts_until": None if free else lasts_until(pockets, more, since=now),
        "runs_left": standing.hits + max(0, standing.available) // run if run and not free else None,
    }
