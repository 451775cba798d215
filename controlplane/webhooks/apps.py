"""Webhooks as a Django app."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """Webhooks of projects and their deliveries."""

    name = "controlplane.webhooks"
    label = "webhooks"

    def ready(self) -> None:
        """Listen to what happens to projects."""
        from controlplane.webhooks import receivers  # noqa: F401
