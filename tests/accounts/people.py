"""What a person does in the browser."""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import urlsplit

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.test import Client

from controlplane.accounts.models import User
from tests.factories import PASSWORD

SIGN_IN, SIGN_UP, SIGN_OUT = "/accounts/sign-in/", "/accounts/sign-up/", "/accounts/sign-out/"
TOKENS = "/v1/users/me/tokens/"


class Clock:
    """Seconds since 1970 for authenticator codes; begins at the start of a period."""

    def __init__(self) -> None:
        self.now = 30.0 * 59_000_000

    def code(self, secret: str, *, later: int = 0) -> str:
        """The app's code now, or some seconds later."""
        return format_hotp_value(hotp_value(secret, int(self.now + later) // 30))


def sign_in(client: Client, login: str, password: str = PASSWORD, **more: Any) -> Any:
    """Send the sign-in form."""
    return client.post(SIGN_IN, {"login": login, "password": password}, **more)


def is_signed_in(client: Client) -> bool:
    """Tell whether the settings open."""
    return bool(client.get("/settings/").status_code == 200)


def verify(user: User) -> EmailAddress:
    """Let the main address of a user be confirmed."""
    address = EmailAddress.objects.get(user=user, primary=True)
    address.set_verified()
    return address


def add_app(user: User) -> str:
    """Give a user an authenticator app; returns its key."""
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def recovery_codes(user: User) -> list[str]:
    """Give a user recovery codes."""
    from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes

    codes: list[str] = RecoveryCodes.activate(user).get_unused_codes()
    assert Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).exists()
    return codes


def link_in(mail: Any) -> str:
    """The path of the first link below /accounts/ in a mail."""
    found = re.search(r"https?://\S+/accounts/\S+", mail.body)
    assert found, mail.body
    return urlsplit(found.group()).path


def basic(username: str, password: str, **headers: str) -> dict[str, str]:
    """Headers of basic auth for DRF's client."""
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode(), **headers}
