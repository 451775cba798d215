"""Whether a workspace's deployments may go on: what the room above asks, and follows."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from billing.balances import standing_of
from billing.caps import reached_caps
from billing.errors import CapReached
from billing.models import CapPeriod, Funding, Wallet
from billing.pricing import credits_text


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a deployment must not run: NO_CREDITS or SPEND_CAP, and a sentence."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What stops deployments of a workspace now. `caps` are the details of reached caps by deployment, None for the whole workspace.

    `free_runs`: there are some left, so that only instances end with the credits.
    """

    funding: str
    caps: dict[UUID | None, str]
    free_runs: bool = False

    def stop(self, deployment_id: UUID, *, instance: bool) -> Stop | None:
        """Return why a deployment must not run. In the time of grace instances go on: it is paid with what is reserved for them."""
        cap = self.caps.get(deployment_id) or self.caps.get(None)
        if cap:
            return Stop("SPEND_CAP", cap)
        ended = self.funding == Funding.EXHAUSTED if instance else self.funding != Funding.FUNDED and not self.free_runs
        if ended:
            return Stop("NO_CREDITS", "The workspace has no credits left.")
        return None


def verdict_on(wallet_id: UUID) -> Verdict:
    """Return what stops deployments of a wallet's workspace now."""
    funding = Wallet.objects.values_list("funding", flat=True).get(pk=wallet_id)
    caps = {}
    for cap in reached_caps(wallet_id):
        when = "this month" if cap.period == CapPeriod.MONTH else "in all"
        whose = "Its spend cap" if cap.deployment_id else "The spend cap of the workspace"
        caps[cap.deployment_id] = f"{whose} of {credits_text(cap.amount)} credits {when} is reached."
    return Verdict(funding, caps, free_runs=funding != Funding.FUNDED and standing_of(wallet_id).hits > 0)


def require_uncapped(wallet_id: UUID, deployment_id: UUID) -> None:
    """Raise `CapReached` if a spend cap stops this deployment."""
    stop = verdict_on(wallet_id).stop(deployment_id, instance=True)
    if stop is not None and stop.code == "SPEND_CAP":
        raise CapReached(f"{stop.detail} Raise or remove the cap, then try again.")


def stopped_wallets() -> list[UUID]:
    """Return the wallets whose deployments something stops now."""
    short = Wallet.objects.exclude(funding=Funding.FUNDED).values_list("pk", flat=True)
    capped = Wallet.objects.filter(caps__reached_at__isnull=False).values_list("pk", flat=True)
    return sorted({*short, *capped})
