"""`manage.py stripe_sync_plans`: products and prices at Stripe for the plans that are offered."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.stripe.catalogue import sync_plans
from billing.stripe.errors import RefusedByStripe
from controlplane.common.errors import SlipwayError


class Command(BaseCommand):
    """Make what Stripe lacks."""

    help = "Makes the products and prices that Stripe lacks for the plans that are offered. Again changes nothing; a plan that costs something else gets a new price."

    def handle(self, *args: Any, **options: Any) -> None:
        """Synchronize, and tell what came of each plan."""
        try:
            for plan in sync_plans():
                self.stdout.write(f"{plan.code}: {plan.outcome}")
        except (SlipwayError, RefusedByStripe) as error:
            raise CommandError(f"Stripe: {error}") from error
