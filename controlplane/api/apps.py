"""The plumbing as a Django app."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Holds the keys of requests that may be sent twice."""

    name = "controlplane.api"
    label = "api"
