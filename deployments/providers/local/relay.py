"""The one way out of a sandbox: a unix socket whose connections go to this service's own public address and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

CHUNK = 256 * 1024


class Relay:
    """Listens on `path` and copies bytes to the host and port of `origin` (with TLS when that is https, so that the runtime need not)."""

    def __init__(self, path: Path, origin: str) -> None:
        address = urlsplit(origin)
        self.path = path
        self.host = address.hostname or "127.0.0.1"
        self.port = address.port or (443 if address.scheme == "https" else 80)
        self.tls = ssl.create_default_context() if address.scheme == "https" else None
        self.server: asyncio.Server | None = None

    async def open(self, *, uid: int | None) -> None:
        """Begin to listen, for the replica's own user alone."""
        self.path.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self.serve, str(self.path), limit=CHUNK)
        self.path.chmod(0o600)
        if uid is not None:
            os.chown(self.path, uid, uid)

    def close(self) -> None:
        """Stop listening."""
        if self.server is not None:
            self.server.close()
        self.path.unlink(missing_ok=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy both directions of one connection until both have ended."""
        try:
            there, back = await asyncio.open_connection(self.host, self.port, ssl=self.tls, limit=CHUNK)
        except OSError:
            writer.close()
            return
        try:
            await asyncio.gather(copy(reader, back), copy(there, writer))
        finally:
            back.close()
            writer.close()


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the source ends, then end the target's direction."""
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
