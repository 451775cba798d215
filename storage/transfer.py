"""Bytes on their way to the bucket: hashed while they pass, in parts that are sent while the next one fills. Memory: two parts an upload."""

from __future__ import annotations

import hashlib
import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

from controlplane.common.errors import TooLarge
from storage.bucket import MOST_PARTS, SMALLEST_PART, Part, bucket
from storage.errors import too_long_for_stream
from storage.models import Upload
from storage.uploads import keep_alive

PART = SMALLEST_PART
SENT_AT_ONCE = 2
# A buffer of a small file grows with it; beyond this it is made a whole part at once.
GROWS_TO = 1024 * 1024
# A stream that says nothing for LIFE is dead; while it lives it says so each BEAT seconds.
LIFE = timedelta(seconds=120)
BEAT_SECONDS = 20.0


class Transfer:
    """Sends one stream to the key of an upload, which it begins when the first part is full or the stream has ended.

    `begin` gets the size (bytes) as far as it is known by then; `to_come` returns how many bytes at least are still to come, 0 when nobody
    knows. Raises what `begin` and `keep_alive` raise, and `Unavailable` for the store. `upload` is None as long as nothing was stored.
    """

    def __init__(self, *, begin: Callable[[int], Upload], to_come: Callable[[], int]) -> None:
        self.upload: Upload | None = None
        self.size = 0
        self._begin = begin
        self._to_come = to_come
        self._hash = hashlib.sha256()
        self._free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        self._sending: list[Future[Part]] = []
        self._last_beat = time.monotonic()

    @property
    def sha256(self) -> str:
        """Return the hash of what has passed."""
        return self._hash.hexdigest()

    def send(self, chunks: Iterator[bytes]) -> Upload:
        """Send all chunks and return the upload: a small file in one go, a large one in parts."""
        try:
            with ThreadPoolExecutor(SENT_AT_ONCE, thread_name_prefix="upload-part") as pool:
                return self._finish(pool, self._fill_parts(pool, chunks))
        finally:
            # Sent parts refer to this object and it to them: what large buffers they hold must not wait for the garbage collector.
            self._sending.clear()
            self._free = queue.SimpleQueue()

    def _fill_parts(self, pool: ThreadPoolExecutor, chunks: Iterator[bytes]) -> bytearray:
        """Send what fills whole parts and return the rest: 1 byte to a whole part, or nothing at all."""
        buffer, filled = bytearray(), 0
        for chunk in chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            view = memoryview(chunk)
            while view:
                if filled == PART:
                    self._send_part(pool, buffer)
                    buffer, filled = self._next_buffer(), 0
                if filled > GROWS_TO and len(buffer) < PART:
                    buffer = whole_buffer(buffer)
                taken = min(PART - filled, len(view))
                buffer[filled : filled + taken] = view[:taken]
                view, filled = view[taken:], filled + taken
            self._beat()
        del buffer[filled:]
        return buffer

    def _beat(self) -> None:
        if self.upload is not None and time.monotonic() - self._last_beat > BEAT_SECONDS:
            keep_alive(self.upload, life=LIFE)
            self._last_beat = time.monotonic()

    def _reserve(self, upload: Upload) -> None:
        """Take the room for what has come, when nobody said how much it would be: a part ahead as long as there is that much."""
        if self.size <= upload.size:
            return
        try:
            keep_alive(upload, life=LIFE, size=self.size + PART)
        except TooLarge:
            keep_alive(upload, life=LIFE, size=self.size)

    def _send_part(self, pool: ThreadPoolExecutor, data: bytearray) -> None:
        if self.upload is None:
            self.upload = self._begin(self.size + self._to_come())
        upload = self.upload
        self._reserve(upload)
        if not upload.store_id:
            upload.store_id = bucket().begin_parts(upload.key, upload.content_type)
            Upload.objects.filter(pk=upload.pk).update(store_id=upload.store_id)
        number = len(self._sending) + 1
        if number > MOST_PARTS:
            raise too_long_for_stream(PART * MOST_PARTS)
        future = pool.submit(bucket().put_part, upload.key, upload.store_id, number, data)
        future.add_done_callback(lambda _: self._free.put(data))
        self._sending.append(future)

    def _next_buffer(self) -> bytearray:
        """Return a buffer to fill: a new one at first, then one that was sent: filling takes a tenth of the time of sending.

        A part that failed ends the upload here.
        """
        if len(self._sending) < SENT_AT_ONCE:
            return bytearray(PART)
        while True:
            try:
                buffer = self._free.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                self._beat()
                continue
            for future in self._sending[-SENT_AT_ONCE:]:
                if future.done():
                    future.result()
            return buffer

    def _finish(self, pool: ThreadPoolExecutor, rest: bytearray) -> Upload:
        if self.upload is None:
            self.upload = self._begin(self.size)
            bucket().put(self.upload.key, rest, self.upload.content_type)
            return self.upload
        if rest:
            self._send_part(pool, rest)
        bucket().join_parts(self.upload.key, self.upload.store_id, [self._sent(future) for future in self._sending])
        return self.upload

    def _sent(self, future: Future[Part]) -> Part:
        while not future.done():
            try:
                future.exception(timeout=BEAT_SECONDS)
            except TimeoutError:
                self._beat()
        return future.result()


def whole_buffer(begun: bytearray) -> bytearray:
    """Return a buffer of a whole part that begins like this one: to the byte, since one that grows takes an eighth too much."""
    buffer = bytearray(PART)
    buffer[: len(begun)] = begun
    return buffer
