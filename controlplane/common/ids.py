"""Identifiers: time-ordered UUIDs for rows and runs, unguessable slugs for endpoints."""

from __future__ import annotations

import secrets
import time
import uuid

SLUG_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
SLUG_LENGTH = 20


def uuid7(*, now_ms: int | None = None) -> uuid.UUID:
    """Return a UUID version 7 (RFC 9562): 48 bits of milliseconds since 1970, then 74 random bits."""
    timestamp = (time.time_ns() // 1_000_000 if now_ms is None else now_ms) & ((1 << 48) - 1)
    random_bits = secrets.randbits(74)
    value = timestamp << 80 | 0x7 << 76 | (random_bits >> 62) << 64 | 0b10 << 62 | random_bits & ((1 << 62) - 1)
    return uuid.UUID(int=value)


def uuid7_milliseconds(value: uuid.UUID) -> int:
    """Return the milliseconds since 1970 that a UUIDv7 was made at."""
    return value.int >> 80


def new_slug() -> str:
    """Return an unguessable name for an endpoint: a letter, then 19 characters (95 bits), valid as a DNS label."""
    return "d" + "".join(secrets.choice(SLUG_ALPHABET) for _ in range(SLUG_LENGTH - 1))
