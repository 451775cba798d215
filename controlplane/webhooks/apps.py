"""Webhooks as a Django app."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """Webhooks of projects and their deliveries."""

    name = "controlplane.webhooks"
    label = "webhooks"

    def ready(self) -> None:
        """Listen to what happens to projects, and say what arguments of routes name."""
        from controlplane.webhooks import receivers  # noqa: F401
        from controlplane.webhooks.models import Delivery, Webhook
        from controlplane.workspaces.replays import register_permission_argument

        register_permission_argument("webhook_id", Webhook, lambda webhook: webhook.project)
        register_permission_argument("delivery_id", Delivery, lambda delivery: delivery.webhook.project, field="uid")
