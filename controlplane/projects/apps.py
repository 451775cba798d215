"""The projects room as a Django app."""

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    """Projects, workflows and their versions."""

    name = "controlplane.projects"
    label = "projects"

    def ready(self) -> None:
        """Listen to sign-ups."""
        from controlplane.projects import receivers  # noqa: F401
