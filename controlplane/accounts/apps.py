"""The accounts room as a Django app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, tokens, signing keys."""

    name = "controlplane.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Register how the API description shows our authentication, what follows from a sign-up, and what an argument of routes names."""
        from controlplane.accounts import openapi, receivers  # noqa: F401
        from controlplane.accounts.models import ApiToken
        from controlplane.api.idempotency.sight import register_argument

        register_argument("token_id", ApiToken)
