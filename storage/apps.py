"""Storage as a Django app."""

from django.apps import AppConfig


class StorageConfig(AppConfig):
    """Objects of projects, uploads, delivery, sweeping."""

    name = "storage"

    def ready(self) -> None:
        """Listen to what happens to projects."""
        from storage import receivers  # noqa: F401
