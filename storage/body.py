"""Reading a request's body in a thread of its own: the network and the object store work at the same time, and silence has an end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from storage.errors import client_silent

CHUNK = 64 * 1024
AHEAD = 8
# Bytes and seconds that are spent on reading what is refused anyway, so that the client comes to read why.
DRAINED_BYTES = 64 * 1024 * 1024
DRAINED_SECONDS = 5.0
# A thread that is told to stop while chunks come ends with the next one.
LAST_CHUNK_SECONDS = 1.0


class Readable(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


class BodyReader:
    """Iterates over a body in chunks of at most 64 KiB, with half a MiB read ahead. Use it as a context manager."""

    def __init__(self, stream: Readable, *, silence: float) -> None:
        self._stream = stream
        self._silence = silence
        self._chunks: queue.Queue[bytes | Exception] = queue.Queue(AHEAD)
        self._stopped = threading.Event()
        self._ended = False
        # A thread that waits for a client which says nothing ends when the server closes the connection.
        self._thread = threading.Thread(target=self._read, name="upload-body", daemon=True)

    def __enter__(self) -> BodyReader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Read no more than the chunk that is on its way, and wait a moment for it."""
        self._stopped.set()
        self._thread.join(LAST_CHUNK_SECONDS)

    @property
    def is_reading(self) -> bool:
        """Tell whether the thread still waits for the client.

        Granian (2.8) stops serving anyone when a request ends while its body is being read: then the request must not end yet.
        """
        return self._thread.is_alive()

    def wait_for_end(self) -> None:
        """Return when the client has sent something, or has gone."""
        self._stopped.set()
        self._thread.join()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Return the next chunk. Raises `SlipwayError` (408) when nothing came for too long, `OSError` when the client went away."""
        if self._ended:
            raise StopIteration
        try:
            chunk = self._chunks.get(timeout=self._silence)
        except queue.Empty:
            self._ended = True
            raise client_silent(self._silence) from None
        if isinstance(chunk, Exception):
            self._ended = True
            raise chunk
        if not chunk:
            self._ended = True
            raise StopIteration
        return chunk

    def drain(self, *, most: int = DRAINED_BYTES, seconds: float = DRAINED_SECONDS) -> None:
        """Read on and throw away, for a while: a connection that is closed on a client that still sends loses the answer."""
        deadline = time.monotonic() + seconds
        while not self._ended and most > 0 and (left := deadline - time.monotonic()) > 0:
            try:
                chunk = self._chunks.get(timeout=left)
            except queue.Empty:
                return
            if not chunk or isinstance(chunk, Exception):
                self._ended = True
                return
            most -= len(chunk)

    def _read(self) -> None:
        try:
            while chunk := self._stream.read(CHUNK):
                if not self._hand_over(chunk):
                    return
            self._hand_over(b"")
        except Exception as error:
            self._hand_over(error)

    def _hand_over(self, item: bytes | Exception) -> bool:
        while not self._stopped.is_set():
            try:
                self._chunks.put(item, timeout=0.5)
            except queue.Full:
                continue
            return True
        return False
