"""Checking endpoint tokens in this service (gateways check them by themselves): signature, end, and whether they were taken back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings

from controlplane.accounts.models import Revocation, SigningKey
from controlplane.common.clock import now
from controlplane.common.errors import NotAuthenticated, PermissionDenied

LONGEST_TOKEN = 8192
REQUIRED = ["exp", "iat", "iss", "sub", "project", "scope"]
HOW = "Ask GET {project}/jwt/?storage=true for a token and send it as 'Authorization: Bearer <id_token>'."


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says: who, for which project, what for."""

    user_id: UUID
    project_id: UUID
    scopes: frozenset[str]


def check_token(token: str) -> Claims:
    """Return what a token says. Raises `NotAuthenticated` for one that is not ours or over, `PermissionDenied` for one that was taken back."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise invalid()
    try:
        kid = str(jwt.get_unverified_header(token).get("kid", ""))
        if not (pem := public_pem(kid)):
            raise invalid()
        options: Any = {"require": REQUIRED, "verify_aud": False, "verify_exp": False}
        told = jwt.decode(token, pem, algorithms=["ES256"], issuer=settings.PUBLIC_URL, options=options)
        claims = Claims(UUID(str(told["sub"])), UUID(str(told["project"])), frozenset(str(told["scope"]).split()))
        issued, expires = (datetime.fromtimestamp(float(told[name]), UTC) for name in ("iat", "exp"))
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise invalid() from error
    if expires <= now():
        raise NotAuthenticated("token_expired", f"This token has expired. {HOW}")
    if was_taken_back(claims, issued, str(told.get("tok", ""))):
        raise PermissionDenied(
            "access_revoked", f"Access was taken away after this token was made. If you may still use the project: {HOW}"
        )
    return claims


def was_taken_back(claims: Claims, issued: datetime, api_token: str) -> bool:
    """Tell whether a revocation holds for a token that was made then; the table is asked, so there is no delay."""
    subjects = [f"u/{claims.user_id}", f"u/{claims.user_id}/p/{claims.project_id}"]
    if api_token:
        subjects.append(f"t/{api_token}")
    return Revocation.objects.filter(subject__in=subjects, at__gte=issued).exists()


def public_pem(kid: str) -> str:
    """Return the public key of that name, "" for an unknown one. Keys never change, and tokens outlive none."""
    found = _known_pem(kid)
    if not found:
        _known_pem.cache_clear()
    return found


@lru_cache(maxsize=64)
def _known_pem(kid: str) -> str:
    return SigningKey.objects.filter(kid=kid).values_list("public_pem", flat=True).first() or ""


def invalid() -> NotAuthenticated:
    """Return the refusal of what is no token of ours."""
    return NotAuthenticated("token_invalid", f"This token is not valid here. {HOW}")
