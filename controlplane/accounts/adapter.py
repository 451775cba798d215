"""How django-allauth acts as Slipway: who may have which name, whose word an address is, where a person may be sent, how mail goes out."""

from __future__ import annotations

import logging
import smtplib
from email.errors import MessageError
from typing import Any
from urllib.parse import quote

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from controlplane.accounts.models import User
from controlplane.accounts.page_errors import too_many_tries
from controlplane.accounts.second_factor import has_second_factor
from controlplane.accounts.selectors import user_by_login
from controlplane.accounts.services import check_username, checked_address
from controlplane.accounts.throttle import TooManyTries, Try, begin_try
from controlplane.accounts.trail import note_refusal
from controlplane.audit.origin import client_address
from controlplane.common.errors import SlipwayError

logger = logging.getLogger(__name__)

WRONG = "The name or the password is wrong."


class AccountAdapter(DefaultAccountAdapter):
    """Accounts in the browser."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "cannot_remove_primary_email": "This is your main address. Make another one the main address first.",
        "duplicate_email": "You have this address already.",
        "email_password_mismatch": WRONG,
        "username_password_mismatch": WRONG,
        "email_taken": "There is an account with this address. Sign in instead, or reset its password.",
        "enter_current_password": "This is not your present password.",
        "incorrect_password": "The password is wrong.",
        "invalid_password_reset": "This link has been used or is too old. Ask for a new one.",
        "max_email_addresses": "%d addresses is the most. Remove one first.",
        "too_many_login_attempts": "Too many wrong codes. Wait 5 min, then try again.",
        "rate_limited": "Too many tries. Wait 5 min, then try again.",
        "username_taken": "This name is taken. Choose another one.",
    }
    present_try: Try | None = None

    # -- names and addresses

    def clean_username(self, username: str, shallow: bool = False) -> str:
        """Return a name that may be part of a path and is free. Raises `ValidationError`."""
        try:
            check_username(username)
        except SlipwayError as error:
            raise ValidationError(error.detail, code=error.code) from error
        return str(super().clean_username(username, shallow=shallow))

    def clean_email(self, email: str) -> str:
        """Return the address in lower case, the way all are kept. Raises `ValidationError`."""
        try:
            return checked_address(email)
        except SlipwayError as error:
            raise ValidationError(error.detail, code=error.code) from error

    def can_delete_email(self, email_address: EmailAddress) -> bool:
        """Allow it for all but the main address: each account has one, and no two the same."""
        return not email_address.primary and bool(super().can_delete_email(email_address))

    @transaction.atomic
    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Confirm it, together with what follows from that (`receivers.end_what_was_before`)."""
        return bool(super().confirm_email(request, email_address))

    # -- passwords

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the try. Answers 429 when there were too many."""
        login = str(credentials.get("username") or credentials.get("email") or "")
        try:
            self.present_try = begin_try(login=login, address=self.get_client_ip(request))
        except TooManyTries as error:
            raise ImmediateHttpResponse(too_many_tries(request, error)) from error

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """Return whom these credentials belong to."""
        user: AbstractBaseUser | None = super().authenticate(request, **credentials)
        if isinstance(user, User) and self.present_try is not None:
            # With a second factor the sign-in is not over: what is forgotten now would let somebody guess codes elsewhere.
            if has_second_factor(user):
                self.present_try.give_back()
            else:
                self.present_try.was_right()
        return user

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Write down that a password was wrong."""
        note_refusal(user_by_login(str(credentials.get("username") or credentials.get("email") or "")), "password")

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the client's address as the audit log has it."""
        return client_address(request) or "0.0.0.0"  # noqa: S104 - stands for "unknown", nothing listens there

    # -- where to

    def is_safe_url(self, url: str | None) -> bool:
        """Allow paths of our own and nothing else: not even other names of this host."""
        return bool(url) and str(url).startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def get_email_confirmation_url(self, request: HttpRequest | None, emailconfirmation: Any) -> str:
        """Return the link of a mail, whatever host name the request came with."""
        return f"{settings.PUBLIC_URL}{reverse('account_confirm_email', args=[emailconfirmation.key])}"

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Return the link of a mail, whatever host name the request came with."""
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": "UID", "key": "KEY"})
        return f"{settings.PUBLIC_URL}{path.replace('UID-KEY', quote(key))}"

    # -- mail

    def format_email_subject(self, subject: str) -> str:
        """Return the subject as it is in the template."""
        return str(subject)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send, also outside of requests. A mail server that does not answer fails no sign-up: the person is told to ask for another mail."""
        around = {"email": email, "site_name": "Slipway", "public_url": settings.PUBLIC_URL}
        links = {"signup_url": "account_signup", "password_reset_url": "account_reset_password"}
        around |= {name: settings.PUBLIC_URL + reverse(route) for name, route in links.items()}
        ours = {name: value for name, value in context.items() if name != "signup_url"}
        if template_prefix.endswith("account_already_exists"):
            ours.pop("password_reset_url", None)
        mail = self.render_mail(template_prefix, email, {**around, **ours})
        try:
            mail.send()
        except (OSError, smtplib.SMTPException, MessageError, ValueError):  # the last two: an address that makes no header
            logger.exception("a mail was not sent: %s", template_prefix)
            self.tell_unsent(email)

    def tell_unsent(self, email: str) -> None:
        """Say on the next page that a mail did not go out."""
        if (request := context.request) is not None and not request.path.startswith("/v1/"):
            self.add_message(request, messages.ERROR, message=f"The mail to {email} could not be sent. Ask for it again in a few minutes.")


def has_verified_address(user: User, email: str | None = None) -> bool:
    """Tell whether the person has shown that an address (or this one) is theirs."""
    verified = EmailAddress.objects.filter(user=user, verified=True)
    return bool((verified.filter(email=email.lower()) if email else verified).exists())
