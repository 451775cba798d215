"""The plumbing as a Django app."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Holds no models; its commands and templates are found through it."""

    name = "controlplane.api"
    label = "api"
