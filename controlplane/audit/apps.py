"""The audit room as a Django app."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Who did what to which object, from where."""

    name = "controlplane.audit"
    label = "audit"
