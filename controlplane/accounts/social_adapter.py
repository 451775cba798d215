"""How accounts of third parties are taken in and connected."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base.constants import AuthProcess
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.shortcuts import redirect

from controlplane.accounts.adapter import has_verified_address
from controlplane.accounts.models import User
from controlplane.accounts.services import welcome


class SocialAdapter(DefaultSocialAccountAdapter):
    """Third parties of the environment only."""

    error_messages = {
        **DefaultSocialAccountAdapter.error_messages,
        "email_taken": "There is an account with this address. Sign in to it with its password, then connect %s under Settings.",
        "no_password": "You have no password: without this account you could not sign in. Set a password first.",
        "connected_other": "This account is connected to another person here.",
    }

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> list[Any]:
        """Return what SOCIAL_PROVIDERS names; rows of the database count for nothing."""
        return [app for app in super().list_apps(request, provider=provider, client_id=client_id) if app.pk is None]

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Let only people with a verified address connect an account.

        Otherwise whoever signed up with the address of another could keep a way in after its owner has reset the password.
        """
        connecting = sociallogin.state.get("process") == AuthProcess.CONNECT
        if connecting and isinstance(request.user, User) and not has_verified_address(request.user):
            messages.error(request, "Confirm your e-mail address first: then you can connect other accounts.")
            raise ImmediateHttpResponse(redirect("account_email"))

    def authenticate_by_email(self, sociallogin: SocialLogin) -> Any:
        """Return the person who has verified an address that a trusted provider has verified as well, and the address; None for nobody."""
        for claimed in sociallogin.email_addresses:
            if claimed.verified and self.can_authenticate_by_email(sociallogin, claimed.email):
                ours = EmailAddress.objects.filter(email=claimed.email.lower(), verified=True, user__is_active=True).first()
                if ours is not None:
                    return ours.user, claimed.email
        return None

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Create the user and, in the same transaction, their workspace."""
        try:
            with transaction.atomic():
                user: User = super().save_user(request, sociallogin, form=form)
                welcome(user)
        except IntegrityError as error:
            messages.error(request, "Someone took this name or address a moment ago. Choose another one.")
            raise ImmediateHttpResponse(redirect("account_signup")) from error
        return user
