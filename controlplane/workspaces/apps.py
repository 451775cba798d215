"""The workspaces room as a Django app."""

from django.apps import AppConfig


class WorkspacesConfig(AppConfig):
    """Namespaces and permissions."""

    name = "controlplane.workspaces"
    label = "workspaces"

    def ready(self) -> None:
        """Listen to sign-ups, and say what arguments of routes name."""
        from controlplane.workspaces import receivers  # noqa: F401
        from controlplane.workspaces.models import Namespace, Organization
        from controlplane.workspaces.replays import itself, register_permission_argument

        register_permission_argument("organization_id", Organization, itself)
        register_permission_argument("namespace_id", Namespace, itself)
