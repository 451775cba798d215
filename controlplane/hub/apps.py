"""The HUB as a Django app."""

from django.apps import AppConfig


class HubConfig(AppConfig):
    """Algorithms, packages, demo workflows and published versions."""

    name = "controlplane.hub"
    label = "hub"

    def ready(self) -> None:
        """Offer algorithms to workflows that name them."""
        from controlplane.hub.selectors import known_algorithm
        from controlplane.projects.sources import register_source

        register_source(known_algorithm)
