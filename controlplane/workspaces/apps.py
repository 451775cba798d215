"""The workspaces room as a Django app."""

from django.apps import AppConfig


class WorkspacesConfig(AppConfig):
    """Namespaces and permissions."""

    name = "controlplane.workspaces"
    label = "workspaces"

    def ready(self) -> None:
        """Listen to sign-ups."""
        from controlplane.workspaces import receivers  # noqa: F401
