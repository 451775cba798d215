"""Deployments as a Django app."""

from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    """Offers, builds, states, the reconciler, routes, logs and usage."""

    name = "deployments"

    def ready(self) -> None:
        """Tell the HUB what the runtimes are."""
        from controlplane.hub.platforms import register_runtime
        from deployments.bundles.algorithms import known_platform

        register_runtime(known_platform)
