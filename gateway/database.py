"""The two questions that the gateway asks PostgreSQL, both on cache misses only, in threads that do not keep stale connections."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Database:
    """The control plane's selectors. A standalone gateway never asks (and never loads Django)."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="database")
        self._setup_lock = Lock()
        self._is_set_up = False

    async def warm_up(self) -> None:
        """Load Django now, so that the first request need not."""
        if self.enabled:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._set_up)

    async def route_for_slug(self, slug: str) -> object | None:
        """Return the route of a deployment, or None. Raises Django's database errors."""
        return await self._ask(_route_for_slug, slug) if self.enabled else None

    async def verification_keys(self) -> dict[str, str]:
        """Return the public keys (PEM) by key id. Raises Django's database errors."""
        return await self._ask(_verification_keys) if self.enabled else {}

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, question: Callable[..., Answer], *arguments: Any) -> Answer:
        def asked() -> Answer:
            self._set_up()
            from django.db import close_old_connections

            close_old_connections()
            try:
                return question(*arguments)
            finally:
                close_old_connections()

        return await asyncio.get_running_loop().run_in_executor(self._threads, asked)

    def _set_up(self) -> None:
        with self._setup_lock:
            if self._is_set_up:
                return
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
            import django

            django.setup()
            self._is_set_up = True


def _route_for_slug(slug: str) -> object | None:
    from deployments.selectors import route_for_slug

    return route_for_slug(slug)


def _verification_keys() -> dict[str, str]:
    from controlplane.accounts.selectors import verification_keys

    return dict(verification_keys())
