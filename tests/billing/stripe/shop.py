"""What tests of payments do with this service, and what they look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rest_framework.test import APIClient

from billing.models import Grant, GrantSource, Notice, StripeEvent, Subscription, Wallet
from billing.pricing import MICRO_PER_CREDIT
from billing.stripe.buying import start_checkout
from billing.stripe.events import act_on_events
from billing.subscriptions import live_subscription
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.workspaces.models import Namespace
from tests.fakes.stripe import FakeStripe

WEBHOOK = "/v1/stripe/webhook/"


@dataclass
class Shop:
    """This service, and the Stripe that it sells with."""

    fake: FakeStripe

    def receive(self, body: bytes, headers: dict[str, str]) -> int:
        """Take a webhook by its route."""
        signature = headers["Stripe-Signature"]
        answer = APIClient().post(WEBHOOK, data=body, content_type="application/json", HTTP_STRIPE_SIGNATURE=signature)
        return int(answer.status_code)

    def deliver(self) -> list[int]:
        """Deliver what waits, and act on it; returns the answers."""
        answers = self.fake.webhooks.deliver()
        act_on_events()
        return answers

    def forget_events(self) -> None:
        """Leave out what was told so far."""
        self.fake.webhooks.waiting.clear()

    def advance(self, *, days: float = 0, hours: float = 0) -> None:
        """Move the time, and deliver what happens."""
        self.fake.advance(days=days, hours=hours)
        self.deliver()

    def buy(self, actor: User, workspace: Namespace, plan: str = "starter-monthly") -> Subscription:
        """Buy a plan on the pay page."""
        self.fake.pay(start_checkout(actor=actor, namespace_id=workspace.pk, plan_code=plan))
        self.deliver()
        return present(workspace)


def wallet(workspace: Namespace) -> Wallet:
    """The wallet of a workspace, as it is now."""
    return Wallet.objects.get(pk=wallet_of(workspace).pk)


def customer(workspace: Namespace) -> str:
    """The customer of a workspace at Stripe."""
    return str(wallet(workspace).stripe_customer_id)


def present(workspace: Namespace) -> Subscription:
    """The subscription that goes on."""
    found = live_subscription(wallet(workspace).pk)
    assert found is not None
    return found


def standing(workspace: Namespace) -> tuple[str, str] | None:
    """Plan and status."""
    found = live_subscription(wallet(workspace).pk)
    return (found.plan.code, str(found.status)) if found else None


def paid_grants(workspace: Namespace) -> list[tuple[str, int, datetime, datetime]]:
    """Plan, credits, start and end of what was granted for money, the oldest first."""
    rows = Grant.objects.filter(wallet=wallet(workspace), source=GrantSource.PLAN).exclude(plan_code="free").order_by("starts_at", "pk")
    return [(row.plan_code, row.amount // MICRO_PER_CREDIT, row.starts_at, row.expires_at) for row in rows]


def credits_of(workspace: Namespace) -> list[int]:
    """What was granted for money, in credits, the oldest first."""
    return [amount for _, amount, _, _ in paid_grants(workspace)]


def everything(workspace: Namespace) -> dict[str, Any]:
    """All that Stripe can change here: equal for equal histories, whatever way they came."""
    mine = wallet(workspace)
    return {
        "grants": paid_grants(workspace),
        "free": list(Grant.objects.filter(wallet=mine, plan_code="free").order_by("starts_at").values_list("starts_at", "amount")),
        "standing": standing(workspace),
        "invoices": list(mine.invoices.order_by("issued_at", "stripe_id").values_list("amount", "status", "issued_at")),
        "live": Subscription.objects.filter(wallet=mine).exclude(status="ENDED").count(),
    }


def notices(workspace: Namespace) -> list[str]:
    """What people are told about payments."""
    kinds = ["PAYMENT_FAILED", "DOUBLE_PAID"]
    return list(Notice.objects.filter(wallet=wallet(workspace), kind__in=kinds).order_by("pk").values_list("kind", flat=True))


def undone() -> int:
    """How many events wait."""
    return StripeEvent.objects.filter(done_at=None).count()
