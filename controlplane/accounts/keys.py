"""Endpoint tokens: ES256 JWTs, their keys and how the keys rotate.

A key signs for KEY_LIFE, then a new one takes over; its public half stays published until the last token it signed is over.
"""

from __future__ import annotations

import json
import secrets
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.db import connection, transaction
from jwt.algorithms import ECAlgorithm

from controlplane.accounts.models import ApiToken, SigningKey, User
from controlplane.common.clock import milliseconds, now
from controlplane.common.ids import uuid7

TOKEN_LIFE = timedelta(seconds=36_000)
SHORTEST_LIFE = timedelta(seconds=60)
KEY_LIFE = timedelta(days=30)
PUBLISHED_AFTER_RETIREMENT = TOKEN_LIFE + timedelta(hours=1)
ROTATION_LOCK = 0x51C4


def endpoint_token_life(*, issued_by: ApiToken | None) -> timedelta:
    """Return how long an endpoint token lives that is made now: not longer than the API token that asks for it, but SHORTEST_LIFE at least."""
    if issued_by is None:
        return TOKEN_LIFE
    return max(SHORTEST_LIFE, min(TOKEN_LIFE, issued_by.expires_at - now()))


# What a token opens beside endpoints: nothing, the storage to read, or all of it.
STORAGE_SCOPES = {"": "", "read": " storage:read", "write": " storage"}


def endpoint_token(
    *, user: User, project_id: object, storage: bool | str, issued_by: ApiToken | None = None, life: timedelta = TOKEN_LIFE
) -> str:
    """Return a signed token for the endpoints (and, with `storage`, the storage: True or "write", or "read") of one project, for `life`.

    It ends earlier when access is revoked (`revocations`), for which `iat` has milliseconds and `tok` names the API token that asked for it.
    """
    moment = now()
    key = current_key(moment)
    claims = {
        "iss": settings.PUBLIC_URL,
        "sub": str(user.pk),
        "project": str(project_id),
        "scope": "consume" + STORAGE_SCOPES["write" if storage is True else storage or ""],
        "iat": milliseconds(moment) / 1000,
        "exp": int((moment + life).timestamp()),
        "jti": str(uuid7()),
        **({"tok": str(issued_by.pk)} if issued_by else {}),
    }
    return jwt.encode(claims, private_pem(key), algorithm="ES256", headers={"kid": key.kid})


def current_key(moment: datetime) -> SigningKey:
    """Return the key that signs now, making the first or the next one when it is time."""
    key = SigningKey.objects.filter(retired_at=None).order_by("-created_at").first()
    if key is None or moment - key.created_at > KEY_LIFE:
        return rotate_key(only_if_older_than=moment - KEY_LIFE)
    return key


def rotate_key(*, only_if_older_than: datetime | None = None) -> SigningKey:
    """Make a new signing key and retire the old ones. With a date, keep a key that is younger (two workers may ask at once)."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ROTATION_LOCK])
        active = SigningKey.objects.filter(retired_at=None).order_by("-created_at")
        newest = active.first()
        if newest is not None and only_if_older_than is not None and newest.created_at > only_if_older_than:
            return newest
        active.update(retired_at=now())
        return make_key()


def make_key() -> SigningKey:
    """Create and store a P-256 key pair."""
    pair = ec.generate_private_key(ec.SECP256R1())
    private = pair.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = pair.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return SigningKey.objects.create(
        kid=secrets.token_hex(8), private_encrypted=Fernet(settings.FIELD_KEY).encrypt(private).decode(), public_pem=public.decode()
    )


def private_pem(key: SigningKey) -> bytes:
    """Return the decrypted private key."""
    return Fernet(settings.FIELD_KEY).decrypt(key.private_encrypted.encode())


def public_jwk(key: SigningKey) -> dict[str, Any]:
    """Return the public key as a JSON Web Key (RFC 7517)."""
    loaded = serialization.load_pem_public_key(key.public_pem.encode())
    assert isinstance(loaded, ec.EllipticCurvePublicKey)  # noqa: S101 - we wrote it
    return {**json.loads(ECAlgorithm.to_jwk(loaded)), "kid": key.kid, "use": "sig", "alg": "ES256"}
