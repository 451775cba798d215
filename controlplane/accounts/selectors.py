"""What may be read of accounts."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from controlplane.accounts.keys import PUBLISHED_AFTER_RETIREMENT
from controlplane.accounts.models import SigningKey, User
from controlplane.common.clock import now


def published_keys() -> QuerySet[SigningKey]:
    """Return the keys whose tokens may still be valid, newest first."""
    return SigningKey.objects.filter(Q(retired_at=None) | Q(retired_at__gt=now() - PUBLISHED_AFTER_RETIREMENT)).order_by("-created_at")


def verification_keys() -> dict[str, str]:
    """Return `{kid: public key as PEM}` of the published keys."""
    return dict(published_keys().values_list("kid", "public_pem"))


def user_by_login(login: str) -> User | None:
    """Return the person whom a user name or an e-mail address means, whatever its case. No user name holds an '@'.

    Of the addresses beside the main one only verified ones count: anyone can claim any other.
    """
    login = login.strip()
    if not login or "\x00" in login:
        return None
    if "@" not in login:
        return User.objects.filter(username__iexact=login).first()
    verified = Q(emailaddress__email=login.lower(), emailaddress__verified=True)
    return User.objects.filter(verified).first() or User.objects.filter(email__iexact=login).first()
