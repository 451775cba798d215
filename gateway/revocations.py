"""Tokens that were taken back before they expired: the control plane writes them to Valkey, this process keeps its own copy.

What is known here stays in force whatever happens to Valkey: a copy only grows, until the tokens that it refuses would have expired anyway.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gateway.auth import HOW, Caller
from gateway.errors import PermissionDenied, SlipwayError, StoreUnavailable
from gateway.gate import Gate
from gateway.run import now_ms
from gateway.settings import Settings
from gateway.valkey import ReplyError, Valkey

logger = logging.getLogger("gateway.revocations")

KEY, VERSION_KEY = "sw:revocations", "sw:revocations:version"
# The life of a token, and an hour for clocks that disagree (controlplane.accounts.revocations.KEPT).
KEPT_MS = 11 * 3600 * 1000
READ_TIMEOUT = 2.0


class Revocations:
    """Moments (milliseconds since 1970) by subject: tokens of the subject that were made at or before the moment are void."""

    def __init__(self, settings: Settings, valkey: Valkey, *, clock: Callable[[], int] = now_ms) -> None:
        self._valkey = valkey
        self._interval = settings.sweep_interval
        self._patience = settings.store_wait
        self._clock = clock
        self._moments: dict[str, int] = {}
        self._version: bytes | None = None
        self._loaded = Gate()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for new ones twice a second."""
        self._task = asyncio.create_task(self._repeat(), name="revocations")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def check(self, caller: Caller) -> None:
        """Raise `PermissionDenied` for a token that was taken back.

        A process that has just started first waits for the list, and raises `StoreUnavailable` when it does not come.
        """
        if not self._loaded.is_open and not await self._loaded.wait(self._patience):
            raise StoreUnavailable
        for subject in caller.subjects:
            moment = self._moments.get(subject)
            if moment is not None and caller.issued_ms <= moment:
                raise PermissionDenied(
                    "access_revoked",
                    f"Access was taken away after this token was made. If you may still use this endpoint, get a new token. {HOW}",
                )

    async def read(self) -> None:
        """Read the list if it is another than last time. Raises `StoreUnavailable`, `ReplyError`.

        Versions are random and written with the list: a Valkey that lost something has another one, or none.
        """
        # The version first: what is written between the two reads is seen now and read again next time.
        version = await self._valkey.command("GET", VERSION_KEY)
        if version == self._version and self._loaded.is_open:
            return
        oldest = self._clock() - KEPT_MS
        found = await self._valkey.command("ZRANGE", KEY, oldest, "+inf", "BYSCORE", "WITHSCORES")
        kept = {subject: moment for subject, moment in self._moments.items() if moment >= oldest}
        for subject, score in zip(found[::2], found[1::2], strict=True):
            name = subject.decode("utf-8", "replace")
            kept[name] = max(int(float(score)), kept.get(name, 0))
        self._moments = kept
        self._version = version
        self._loaded.open()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            if not self._valkey.connected:
                continue
            try:
                async with asyncio.timeout(READ_TIMEOUT):
                    await self.read()
            except (TimeoutError, SlipwayError, ReplyError) as error:
                logger.warning("Cannot read what was revoked, next try in a moment: %s", error or type(error).__name__)
            except Exception:
                logger.exception("Cannot read what was revoked")
