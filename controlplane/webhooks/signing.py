"""Secrets of webhooks, and the headers that prove where a delivery comes from (the scheme of standardwebhooks.com, version 1)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

from cryptography.fernet import Fernet
from django.conf import settings

from controlplane.webhooks.models import Webhook

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """Return a new secret as receivers keep it: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sealed(secret: str) -> str:
    """Return what the database keeps of a secret."""
    return Fernet(settings.FIELD_KEY).encrypt(secret.encode()).decode()


def opened(text: str) -> str:
    """Return the secret that was sealed."""
    return Fernet(settings.FIELD_KEY).decrypt(text.encode()).decode()


def secrets_of(webhook: Webhook, *, now: datetime) -> list[str]:
    """Return the secrets that sign now, the newest first: after a rotation the previous one too, for a day."""
    found = [opened(webhook.secret_encrypted)]
    if webhook.previous_secret_until is not None and webhook.previous_secret_until > now:
        found.append(opened(webhook.previous_secret_encrypted))
    return found


def signature(secret: str, *, event_id: str, timestamp: int, body: bytes) -> str:
    """Return `v1,<base64>`: the HMAC-SHA256 of `<id>.<seconds since 1970>.<body>` under the bytes of the secret."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.digest(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def signed_headers(signing: Iterable[str], *, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt, with a signature for each secret."""
    signatures = [signature(secret, event_id=event_id, timestamp=timestamp, body=body) for secret in signing]
    return {"webhook-id": event_id, "webhook-timestamp": str(timestamp), "webhook-signature": " ".join(signatures)}
