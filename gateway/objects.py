"""Payloads and results that are too large for Valkey: the object store, asked in threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.common.objectstore import ObjectStore

THREADS = 8


class Objects:
    """The object store of the settings; a standalone gateway has none."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="objects")

    async def put(self, key: str, data: bytes) -> None:
        """Store an object. Raises `Unavailable`."""
        await asyncio.get_running_loop().run_in_executor(self._threads, _put, key, data)

    async def get(self, key: str) -> bytes:
        """Return an object. Raises `NotFound`, `Unavailable`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _get, key)

    async def get_part(self, key: str, offset: int, length: int) -> bytes:
        """Return some bytes of an object. Raises `NotFound`, `Unavailable`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _get_part, key, offset, length)

    async def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error. Raises `Unavailable`."""
        await asyncio.get_running_loop().run_in_executor(self._threads, _delete, key)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _store() -> ObjectStore:
    from controlplane.common.objectstore import object_store

    return object_store()


def _put(key: str, data: bytes) -> None:
    _store().put_bytes(key, data, content_type="application/json")


def _get(key: str) -> bytes:
    return _store().get_bytes(key)


def _get_part(key: str, offset: int, length: int) -> bytes:
    return _store().get_part(key, offset, length)


def _delete(key: str) -> None:
    _store().delete(key)
