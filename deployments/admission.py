"""Whether a workspace's plan has room for another deployment."""

from __future__ import annotations

from billing.allowances import Quota
from billing.models import Wallet
from billing.quotas import require_infrastructure, require_quota
from billing.wallets import wallet_of
from controlplane.workspaces.models import Namespace
from deployments.models import Deployment
from deployments.offers import Offer
from deployments.states import DesiredState, Status


def require_place(namespace: Namespace, offer: Offer) -> None:
    """Raise `NotInPlan` or `QuotaReached` unless the plan has the offer's infrastructure and room. Call it in the transaction that creates."""
    wallet = wallet_of(namespace)
    require_infrastructure(wallet, provider=offer.provider, flavour=offer.flavour)
    require_quota(wallet, Quota.DEPLOYMENTS)


def count_deployments(wallet: Wallet) -> int:
    """Count the deployments of a workspace; one whose end somebody asked for makes room at once."""
    rows = Deployment.objects.filter(workspace_id=wallet.workspace_id)
    return rows.exclude(status=Status.DELETED).exclude(desired_state=DesiredState.DELETED).count()
