"""The accounts room as a Django app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, tokens, signing keys."""

    name = "controlplane.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Register how the API description shows our authentication, and what follows from a sign-up."""
        from controlplane.accounts import openapi, receivers  # noqa: F401
