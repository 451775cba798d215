"""How a request says who it is: `Authorization: Token …`, and basic auth for making a token."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.conf import settings
from django.urls import reverse
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import Throttled
from rest_framework.request import Request

from controlplane.accounts.models import ApiToken, User
from controlplane.accounts.second_factor import has_second_factor, use_code
from controlplane.accounts.selectors import user_by_login
from controlplane.accounts.services import use_token, verify_password
from controlplane.accounts.throttle import TooManySignUps, TooManyTries, Try, begin_code_try, begin_try
from controlplane.accounts.trail import note_refusal
from controlplane.audit.origin import client_address, set_credential
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
    """Basic auth with user name and password, and a code for people with a second factor; only where a view names it."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        """Return the user; None without basic credentials. Raises `NotAuthenticated` when they are wrong, `Throttled` after too many."""
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"basic":
            return None
        try:
            username, _, password = base64.b64decode(words[1], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError, IndexError):
            username = password = ""
        if not username or "\x00" in username:
            raise NotAuthenticated("not_authenticated", "The user name or the password is wrong.")
        return self.person(request, username, password), None

    def person(self, request: Request, username: str, password: str) -> User:
        """Return whose name, password and code these are. A wrong code counts like a wrong password."""
        try:
            attempt = begin_try(login=username, address=client_address(request))
            user = verify_password(username=username, password=password)
            if user is None:
                note_refusal(user_by_login(username), "password")
                raise NotAuthenticated("not_authenticated", "The user name or the password is wrong.")
            self.check_code(user, request.headers.get("X-OTP", ""), attempt)
        except TooManyTries as error:
            raise throttled(error) from error
        attempt.was_right()
        set_credential("password")
        return user

    def check_code(self, user: User, code: str, attempt: Try) -> None:
        """Use up the code of somebody with a second factor. Raises `NotAuthenticated`, and `TooManyTries` after too many wrong ones."""
        if not has_second_factor(user):
            return
        if not code:
            attempt.give_back()
            raise NotAuthenticated(
                "second_factor_needed",
                f"You have a second factor. Make a token at {settings.PUBLIC_URL}{reverse('settings_token_new')}, "
                "or send its code as well, in the header 'X-OTP: 123456'.",
            )
        try:
            code_attempt = begin_code_try(user)
        except TooManyTries:
            attempt.give_back()  # a code that is not looked at shuts nobody out of the browser at this address
            raise
        if not use_code(user, code):
            note_refusal(user, "code")
            raise NotAuthenticated("wrong_code", "The code in X-OTP is wrong or has been used. Wait for the next one.")
        code_attempt.was_right()

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return 'Basic realm="Slipway"'


def throttled(error: TooManyTries | TooManySignUps) -> Throttled:
    """Return the refusal as DRF knows it, whose answer has a `Retry-After`."""
    refusal = Throttled(detail=error.detail)
    refusal.wait = error.retry_after  # type: ignore[attr-defined]
    return refusal
