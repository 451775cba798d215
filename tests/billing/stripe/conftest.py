"""A Stripe on loopback, and the real SDK to speak with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stripe

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
