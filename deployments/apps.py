"""Deployments as a Django app."""

from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    """Offers, builds, states, the reconciler, routes, logs and usage."""

    name = "deployments"
