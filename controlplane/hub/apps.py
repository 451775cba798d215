"""The HUB as a Django app."""

from django.apps import AppConfig


class HubConfig(AppConfig):
    """Algorithms, packages, demo workflows and published versions."""

    name = "controlplane.hub"
    label = "hub"
