"""Billing as a Django app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BillingConfig(AppConfig):
    """Plans, wallets, the ledger, metering, Stripe."""

    name = "billing"

    def ready(self) -> None:
        """Have the plans that an installation begins with, and be asked before something is created."""
        from billing import receivers  # noqa: F401
        from billing.plans import create_missing_plans

        post_migrate.connect(create_missing_plans, sender=self, dispatch_uid="billing.plans")
