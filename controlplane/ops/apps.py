"""The operator's console as a Django app."""

from django.apps import AppConfig


class OpsConfig(AppConfig):
    """Pages for staff."""

    name = "controlplane.ops"
    label = "ops"
