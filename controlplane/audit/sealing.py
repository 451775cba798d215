"""The MACs of the log: HMAC-SHA256 under a key of its own, derived from FIELD_KEY, over one fixed spelling of each row."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from controlplane.audit.models import AuditEntry, AuditHead

# Part of every MAC: a row of one kind never passes for one of the other. The number changes with the spelling.
ENTRY, HEAD = b"slipway.audit.entry.1\n", b"slipway.audit.head.1\n"
# The seal of a head that had been tampered with when the next line was appended: no MAC, so it is found for ever.
BROKEN = "broken"


@cache
def derive_key(field_key: str) -> bytes:
    """Return the log's key (32 bytes), which tells nothing about FIELD_KEY (HKDF, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"slipway audit log").derive(field_key.encode())


def spelled(content: Mapping[str, Any]) -> bytes:
    """Return JSON with sorted names and no spaces, as UTF-8: the one spelling that is MACed and exported."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def mac(kind: bytes, content: Mapping[str, Any]) -> str:
    """Return the MAC of a row's content as 64 hexadecimal digits."""
    return hmac.new(derive_key(settings.FIELD_KEY), kind + spelled(content), hashlib.sha256).hexdigest()


def entry_content(entry: AuditEntry) -> dict[str, Any]:
    """Return all fields of a line but its digest, as they read before and after PostgreSQL."""
    return {
        "id": str(entry.id),
        "chain": str(entry.chain),
        "sequence": entry.sequence,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor_id": str(entry.actor_id) if entry.actor_id else None,
        "actor_name": entry.actor_name,
        "action": entry.action,
        "kind": entry.kind,
        "target": entry.target,
        "name": entry.name,
        "address": entry.address,
        "request_id": entry.request_id,
        "credential": entry.credential,
        "details": entry.details,
        "previous": entry.previous,
    }


def entry_digest(entry: AuditEntry) -> str:
    """Return what the digest of a line must be."""
    return mac(ENTRY, entry_content(entry))


def head_seal(head: AuditHead) -> str:
    """Return what the seal of a head must be."""
    return mac(HEAD, {"chain": str(head.chain), "sequence": head.sequence, "digest": head.digest})


def is_sealed(head: AuditHead) -> bool:
    """Tell whether a head is as the service left it."""
    return head.seal == head_seal(head)
