"""Refusals that have to do with payments."""

from __future__ import annotations

from controlplane.common.errors import Conflict, InvalidInput, PaymentRequired, Unavailable


class NotConfigured(Conflict):
    """There are no Stripe keys (409)."""

    def __init__(self) -> None:
        super().__init__(
            "payments_not_configured",
            "This installation takes no payments: its operator grants credits and assigns plans. Ask the operator for credits.",
        )


class StripeUnavailable(Unavailable):
    """Stripe did not answer, or not as it should (503). What was asked for may have been done.

    `answered`: it said that something went wrong. It says so for a day to the same idempotency key.
    """

    def __init__(self, *, answered: bool = False) -> None:
        self.answered = answered
        super().__init__("payments_unavailable", "The payment service does not answer now. Nothing is paid twice: try again in a minute.")


class CardRefused(PaymentRequired):
    """The card did not pay (402); nothing has changed."""

    def __init__(self) -> None:
        super().__init__(
            "card_refused",
            "The card was refused and nothing has changed. Open the billing portal, change the payment method, and try again.",
        )


class WrongAccount(Unavailable):
    """Stripe has never heard of a customer of ours (503): the key is another account's. Nothing is changed for that."""

    def __init__(self) -> None:
        super().__init__("payments_unavailable", "The payment service is not set up right: ask the operator to compare the Stripe keys.")


class UnknownAtStripe(Exception):
    """Stripe knows no such thing."""


class RefusedByStripe(Exception):
    """Stripe understood a request and does not carry it out in the present state."""


class WrongSignature(InvalidInput):
    """A webhook that Stripe has not signed, or too long ago (400)."""

    def __init__(self) -> None:
        super().__init__(
            "wrong_signature", "The signature is missing, wrong or too old. Compare the endpoint's secret with STRIPE_WEBHOOK_SECRET."
        )


class NoSubscription(Conflict):
    """There is no paid subscription to change (409)."""

    def __init__(self) -> None:
        super().__init__("no_subscription", "This workspace has no paid subscription. Start one with a checkout.")


class AlreadySubscribed(Conflict):
    """There is a paid subscription already (409)."""

    def __init__(self, code: str) -> None:
        super().__init__(
            "already_subscribed", f"This workspace has a subscription to '{code}'. Change its plan instead of buying another one."
        )


class PaymentDue(Conflict):
    """A payment is missing (409)."""

    def __init__(self) -> None:
        super().__init__("payment_due", "A payment of this subscription is missing. Pay the open invoice in the billing portal first.")


class NotOffered(InvalidInput):
    """The plan cannot be bought, or not by this kind of workspace (400)."""

    def __init__(self, code: str, offered: list[str]) -> None:
        choice = f"Choose one of {', '.join(offered)}." if offered else "None is offered."
        super().__init__("plan_not_offered", f"'{code}' is not offered to this workspace. {choice}", fields={"plan": [choice]})


class NotPriced(Unavailable):
    """Stripe has no price for a plan that is offered (503)."""

    def __init__(self, code: str) -> None:
        super().__init__(
            "plan_not_priced", f"'{code}' has no price at Stripe yet. The operator makes it with `manage.py stripe_sync_plans`."
        )
