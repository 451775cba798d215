"""Billing as a Django app."""

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate


class BillingConfig(AppConfig):
    """Plans, wallets, the ledger, metering, Stripe."""

    name = "billing"

    def ready(self) -> None:
        """Have the plans that an installation begins with, check those that the settings name, be asked before something is created, and say what
        arguments of routes name.
        """
        from billing import receivers  # noqa: F401
        from billing.access import root_of
        from billing.checks import check_plan_settings
        from billing.models import SpendCap
        from billing.plans import create_missing_plans
        from controlplane.workspaces.replays import register_permission_argument

        post_migrate.connect(create_missing_plans, sender=self, dispatch_uid="billing.plans")
        checks.register(check_plan_settings, checks.Tags.database)
        register_permission_argument("cap_id", SpendCap, lambda cap: root_of(cap.wallet))
