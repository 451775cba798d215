"""How our two ways of authentication look in the API description."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """API tokens."""

    target_class = "controlplane.accounts.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Describe the header."""
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Authorization: Token <clear token>`"}


class PasswordScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """User name and password."""

    target_class = "controlplane.accounts.authentication.PasswordAuthentication"
    name = "password"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Describe basic auth."""
        return {"type": "http", "scheme": "basic", "description": "Only for making a token."}
