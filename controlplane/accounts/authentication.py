"""How a request says who it is: `Authorization: Token …`, and basic auth for making a token."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from controlplane.accounts.models import ApiToken, User
from controlplane.accounts.services import use_token, verify_password
from controlplane.audit.origin import set_credential
from controlplane.common.errors import NotAuthenticated


class TokenAuthentication(BaseAuthentication):
    """API tokens."""

    keyword = b"token"

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """Return the user and the token; None when the request carries none. Raises `NotAuthenticated` for one that does not hold."""
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != self.keyword:
            return None
        token = use_token(clear=words[1].decode("latin-1")) if len(words) == 2 else None
        if token is None:
            raise NotAuthenticated(
                "not_authenticated",
                "This token is wrong, revoked or expired. Make a new one: POST /v1/users/me/tokens/ with your name and password.",
            )
        token.user.credential = token
        set_credential(str(token))
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return "Token"


class PasswordAuthentication(BaseAuthentication):
    """Basic auth with user name and password, only where a view names it."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        """Return the user; None without basic credentials. Raises `NotAuthenticated` when they are wrong."""
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"basic":
            return None
        try:
            username, _, password = base64.b64decode(words[1], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, IndexError):
            username = password = ""
        user = verify_password(username=username, password=password) if username and "\x00" not in username else None
        if user is None:
            raise NotAuthenticated("not_authenticated", "The user name or the password is wrong.")
        return user, None

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return 'Basic realm="Slipway"'
