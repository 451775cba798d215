"""Which provider serves a replica."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from django.conf import settings

from deployments.providers.base import Provider
from deployments.providers.local.client import LocalProvider


def local_provider() -> Provider:
    """Return the driver of this machine, which speaks to its agent."""
    return LocalProvider(settings.AGENT_SOCKET)


DRIVERS: dict[str, Callable[[], Provider]] = {"local": local_provider}


@cache
def provider(backend: str) -> Provider:
    """Return the driver named by a deployment's `backend`; LookupError for one that is not installed."""
    return DRIVERS[backend]()


def backends() -> list[str]:
    """Return the names of all installed drivers."""
    return sorted(DRIVERS)
