"""What may be read of accounts."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from controlplane.accounts.keys import PUBLISHED_AFTER_RETIREMENT
from controlplane.accounts.models import SigningKey
from controlplane.common.clock import now


def published_keys() -> QuerySet[SigningKey]:
    """Return the keys whose tokens may still be valid, newest first."""
    return SigningKey.objects.filter(Q(retired_at=None) | Q(retired_at__gt=now() - PUBLISHED_AFTER_RETIREMENT)).order_by("-created_at")


def verification_keys() -> dict[str, str]:
    """Return `{kid: public key as PEM}` of the published keys."""
    return dict(published_keys().values_list("kid", "public_pem"))
