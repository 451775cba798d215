"""Storage as a Django app."""

from django.apps import AppConfig


class StorageConfig(AppConfig):
    """Objects of projects, uploads, delivery, sweeping."""

    name = "storage"

    def ready(self) -> None:
        """Listen to what happens to projects, and tell billing how full they are."""
        from billing.allowances import Quota
        from billing.quotas import register_counter
        from storage import receivers  # noqa: F401
        from storage.space import fullest_project

        register_counter(Quota.STORAGE, fullest_project)
