"""The projects room as a Django app."""

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    """Projects, workflows and their versions."""

    name = "controlplane.projects"
    label = "projects"

    def ready(self) -> None:
        """Listen to sign-ups, and say what arguments of routes name."""
        from controlplane.projects import receivers  # noqa: F401
        from controlplane.projects.models import Project, Workflow
        from controlplane.workspaces.replays import itself, register_permission_argument

        register_permission_argument("project_id", Project, itself)
        register_permission_argument("workflow_id", Workflow, lambda workflow: workflow.project)
