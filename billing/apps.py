"""Billing as a Django app."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """Prices in whole micro-credits; holds no tables yet."""

    name = "billing"
