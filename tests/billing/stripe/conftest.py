"""A Stripe on loopback, and the real SDK to speak with it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from billing import funding
from billing.stripe import access, client, events, reconcile
from billing.stripe.catalogue import sync_plans
from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.workspaces.models import Namespace, Organization
from tests.billing.stripe.shop import Shop
from tests.factories import make_organization, make_user
from tests.fakes.stripe import SECRET_KEY, FakeStripe, running_stripe


@pytest.fixture
def fake() -> Iterator[FakeStripe]:
    """A fake Stripe with nothing in it."""
    with running_stripe() as made:
        yield made


@pytest.fixture
def sdk(fake: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> Iterator[stripe.StripeClient]:
    """The SDK as it comes, without retries."""
    monkeypatch.setattr(stripe, "enable_telemetry", False)
    http = stripe.RequestsClient(timeout=5)
    yield stripe.StripeClient(SECRET_KEY, base_addresses={"api": fake.url}, http_client=http, max_network_retries=0)
    http.close()


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep hints out of the broker."""
    sent: list[str] = []
    for module in (events, funding):
        monkeypatch.setattr(module, "send_task", lambda name, **_: sent.append(name))
    return sent


@pytest.fixture
def shop(fake: FakeStripe, settings: Any, monkeypatch: pytest.MonkeyPatch, db: None, hints: list[str]) -> Iterator[Shop]:
    """This service with the keys of the fake, at the fake's time, with all plans on sale and webhooks that come to its route."""
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE, settings.STRIPE_WEBHOOK_SECRET = SECRET_KEY, fake.url, fake.webhooks.secret
    settings.PERSONAL_PLAN, settings.ORGANIZATION_PLAN = "free", ""
    monkeypatch.setattr(client, "RETRIES", 0)
    monkeypatch.setattr(reconcile, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(clock, "now", lambda: datetime.fromtimestamp(fake.account.now, UTC))
    access.opened.cache_clear()
    made = Shop(fake)
    sync_plans()
    fake.webhooks.send = made.receive
    made.forget_events()
    yield made
    access.opened(SECRET_KEY, fake.url).close()
    access.opened.cache_clear()


@pytest.fixture
def mei(shop: Shop) -> User:
    """A person with a personal workspace on the free plan."""
    return make_user()


@pytest.fixture
def workspace(mei: User) -> Namespace:
    """Her personal workspace."""
    found: Namespace = mei.namespaces.get(parent=None)
    return found


@pytest.fixture
def organization(shop: Shop, mei: User) -> Organization:
    """An organization of hers."""
    return make_organization(mei)


@pytest.fixture
def root(organization: Organization) -> Namespace:
    """Its workspace."""
    return organization.namespaces.get()
