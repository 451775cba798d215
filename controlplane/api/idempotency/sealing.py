"""Replies at rest: encrypted with a key that takes SECRET_KEY and the caller's Idempotency-Key, neither of which is in the database."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.http import HttpResponseBase
from django.http.response import HttpResponse

from controlplane.api.idempotency.asking import Asked

LARGEST_REPLY = 256 * 1024
NONCE_BYTES = 12
KEPT_HEADERS = ("Content-Type", "Content-Language", "Location", "ETag", "Last-Modified", "Cache-Control", "Retry-After", "Link")


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def reply_of(answer: HttpResponseBase) -> Reply | None:
    """Return what to keep of a rendered answer; None for one of more than 256 KiB, or that is streamed."""
    if not isinstance(answer, HttpResponse) or len(answer.content) > LARGEST_REPLY:
        return None
    return Reply(answer.status_code, {name: answer[name] for name in KEPT_HEADERS if name in answer}, answer.content)


def seal(asked: Asked, reply: Reply) -> bytes:
    """Encrypt a reply (AES-256-GCM), bound to its row."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    head = json.dumps([reply.status, dict(reply.headers)]).encode()
    return nonce + AESGCM(asked.sealing_key).encrypt(nonce, head + b"\n" + reply.body, asked.digest.encode())


def unseal(asked: Asked, sealed: bytes | memoryview | None) -> Reply | None:
    """Return the reply; None when none was kept, or the row was tampered with."""
    if sealed is None:
        return None
    data = bytes(sealed)
    try:
        plain = AESGCM(asked.sealing_key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], asked.digest.encode())
    except InvalidTag:
        return None
    head, _, body = plain.partition(b"\n")
    status, headers = json.loads(head)
    return Reply(status, headers, body)
