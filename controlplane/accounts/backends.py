"""How a name and a password become a user in the browser."""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from controlplane.accounts.models import User
from controlplane.accounts.selectors import user_by_login


class SignInBackend(AuthenticationBackend):
    """User name or e-mail address, and a password.

    allauth's own backend looks at the password of an e-mail address twice and at that of an unknown one once, which a clock can tell apart:
    here it is one look, whoever it is.
    """

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:  # type: ignore[override]
        """Return the active user, or None: unknown, closed and wrong are answered alike."""
        password = credentials.get("password")
        if not password:
            return None
        user = user_by_login(str(credentials.get("username") or credentials.get("email") or ""))
        if user is None:
            make_password(password)
            return None
        return user if user.check_password(password) and user.is_active else None
