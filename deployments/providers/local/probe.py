"""Asking a runtime for its health over its unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

MAX_ANSWER = 256 * 1024


async def get_health(socket_path: Path, *, seconds: float) -> dict[str, Any] | None:
    """Return the JSON of GET /health with its `status` ("ready", "starting", "failed"), or None when nothing answers in time."""
    with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
        async with asyncio.timeout(seconds):
            return await ask(socket_path)
    return None


async def ask(socket_path: Path) -> dict[str, Any]:
    """Make one request on a connection of its own, so that a hung runtime cannot block a kept one."""
    reader, writer = await asyncio.open_unix_connection(str(socket_path))
    try:
        writer.write(b"GET /health HTTP/1.1\r\nHost: runtime\r\nConnection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        content = await reader.read(MAX_ANSWER)
        while not reader.at_eof() and len(content) < MAX_ANSWER:
            content += await reader.read(MAX_ANSWER)
    finally:
        writer.close()
    if b"transfer-encoding: chunked" in head.lower():
        content = unchunk(content)
    answer = json.loads(content)
    return answer if isinstance(answer, dict) else {}


def unchunk(content: bytes) -> bytes:
    """Return the body of a chunked answer."""
    body = b""
    while content:
        size, _, rest = content.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        body, content = body + rest[:length], rest[length + 2 :]
        if not length:
            break
    return body
