"""The HUB as a Django app."""

from django.apps import AppConfig


class HubConfig(AppConfig):
    """Algorithms, packages, demo workflows and published versions."""

    name = "controlplane.hub"
    label = "hub"

    def ready(self) -> None:
        """Offer algorithms to workflows that name them, and say what arguments of routes name."""
        from controlplane.hub.models import Algorithm
        from controlplane.hub.selectors import known_algorithm
        from controlplane.projects.sources import register_source
        from controlplane.workspaces.replays import itself, register_permission_argument

        register_source(known_algorithm)
        register_permission_argument("algorithm_id", Algorithm, itself)
