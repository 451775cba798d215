"""The way to Stripe, if there is one. The SDK is loaded at the first use: 30 MB that an installation without keys never needs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

from billing.stripe.errors import NotConfigured
from billing.stripe.shapes import ToldEvent

if TYPE_CHECKING:
    from billing.stripe.client import StripeApi


def payments_configured() -> bool:
    """Tell whether this installation takes payments."""
    return bool(settings.STRIPE_SECRET_KEY)


def stripe_api() -> StripeApi:
    """Return Stripe. Raises `NotConfigured`."""
    if not payments_configured():
        raise NotConfigured
    return opened(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@cache
def opened(secret_key: str, base: str) -> StripeApi:
    """Return the process's own client; it may be used by all threads."""
    from billing.stripe.client import StripeApi

    return StripeApi(secret_key, base)


def verified(body: bytes, signature: str) -> ToldEvent:
    """Return what a webhook says. Raises `NotConfigured` and `WrongSignature`."""
    if not (payments_configured() and settings.STRIPE_WEBHOOK_SECRET):
        raise NotConfigured
    from billing.stripe.client import verified_event

    return verified_event(body, signature, settings.STRIPE_WEBHOOK_SECRET)
