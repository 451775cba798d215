"""The second factor: TOTP codes and recovery codes, each good for one use."""

from __future__ import annotations

import hashlib

from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.cache import cache

from controlplane.accounts.models import User

# A code holds for its own 30 s and, for clocks that differ, for the period before and after: nobody may use it again within that time.
CODE_REMEMBERED_SECONDS = 120


class SecondFactorAdapter(DefaultMFAAdapter):
    """Keeps the secrets of authenticator apps encrypted, and names us in the app."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "This code is wrong or has been used. Wait for the next one.",
    }

    def encrypt(self, text: str) -> str:
        """Encrypt with FIELD_KEY, as all secrets in the database are."""
        return Fernet(settings.FIELD_KEY).encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Decrypt."""
        return Fernet(settings.FIELD_KEY).decrypt(encrypted_text.encode()).decode()

    def get_totp_issuer(self) -> str:
        """Return what the app shows as the service."""
        return "Slipway"

    def get_totp_label(self, user: AbstractBaseUser) -> str:
        """Return what the app shows as the account."""
        return user.get_username()


def has_second_factor(user: User) -> bool:
    """Tell whether a password alone does not open this account."""
    return Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()


def use_code(user: User, code: str) -> bool:
    """Use up a TOTP or recovery code of the user; returns whether it was right."""
    return any(authenticator.wrap().validate_code(code) for authenticator in Authenticator.objects.filter(user=user)) and remember_code(
        user, code
    )


def remember_code(user: AbstractBaseUser, code: str) -> bool:
    """Note that a code has been used; returns False when it had been already."""
    digest = hashlib.sha256(normalize_user_code(code).encode()).hexdigest()
    return bool(cache.add(f"totp:{user.pk}:{digest}", 1, timeout=CODE_REMEMBERED_SECONDS))
