"""The accounts room as a Django app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, tokens, signing keys."""

    name = "controlplane.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Register how the API description shows our authentication."""
        from controlplane.accounts import openapi  # noqa: F401
