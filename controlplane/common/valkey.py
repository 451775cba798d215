"""The synchronous Valkey client of web and workers (the gateway has its own)."""

from __future__ import annotations

from functools import cache

import redis
from django.conf import settings


@cache
def valkey() -> redis.Redis:
    """Return the process-wide client; replies are bytes. Errors are `redis.RedisError`."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2, health_check_interval=15)
