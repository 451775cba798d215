"""A stateful Stripe for tests, in the shapes of the API version that the installed SDK speaks."""

from tests.fakes.stripe.server import SECRET_KEY, Asked, FakeStripe, running_stripe
from tests.fakes.stripe.webhooks import sender_to

__all__ = ["SECRET_KEY", "Asked", "FakeStripe", "running_stripe", "sender_to"]
