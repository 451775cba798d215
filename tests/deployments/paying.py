"""What tests of payment share: credits for so many seconds, time that passes with a meter, and what was charged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from billing.balances import standing_of
from billing.funding import review_times
from billing.grants import grant_credits
from billing.metering import meter
from billing.models import GrantSource, LedgerEntry
from controlplane.accounts.models import User
from controlplane.common.valkey import valkey
from deployments.funding import follow_funding
from deployments.models import Deployment
from deployments.paying import wallet_id_of
from deployments.routing import route_key
from tests.deployments.conftest import Clock

Settle = Callable[..., Deployment]
# AWS CLUSTER M: micro-credits a second, and what 15 minutes of it are.
RATE = 15_320
HELD = RATE * 900


def fund(user: User, seconds: int, rate: int = RATE) -> None:
    """Give a user's workspace credits for so many seconds."""
    from billing.wallets import wallet_of

    wallet = wallet_of(user.namespaces.get(parent=None))
    grant_credits(wallet_id=wallet.pk, amount=seconds * rate, key=str(uuid4()), source=GrantSource.OPERATOR)


def pass_time(clock: Clock, settle: Settle, deployment: Deployment, seconds: float) -> Deployment:
    """Let time pass minute by minute, with a meter and everybody who follows it."""
    while seconds > 0:
        clock.advance(min(60, seconds))
        seconds -= 60
        meter()
        review_times()
        follow_funding()
        deployment = settle(deployment)
    return deployment


def standing(deployment: Deployment) -> tuple[int, int]:
    found = standing_of(wallet_id_of(deployment))
    return found.balance, found.held


def charged(deployment: Deployment) -> int:
    return sum(LedgerEntry.objects.filter(kind="CHARGE", deployment_id=deployment.pk).values_list("amount", flat=True))


def route(deployment: Deployment) -> dict[str, Any]:
    text: Any = valkey().get(route_key(deployment.slug))
    found: dict[str, Any] = json.loads(text)
    return found
