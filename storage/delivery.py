"""Handing out an object's bytes: which of them, under which headers, and as a stream that survives a hiccup of the store."""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import IO
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.core.signing import Signer
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import parse_http_date_safe

from controlplane.common.clock import now
from controlplane.common.errors import NotFound
from storage.bucket import bucket
from storage.errors import bytes_lost
from storage.media import POLICY, disposition
from storage.models import StoredObject
from storage.paths import file_name
from storage.slots import download_slots

logger = logging.getLogger(__name__)

CHUNK = 256 * 1024
RETRIES = 3
RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
SIGNER = Signer(salt="storage.delivery")


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of an object, both ends included; an empty one has `last` = `first` - 1."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Return how many bytes they are."""
        return self.last - self.first + 1


class NotSatisfiable(ValueError):
    """The range that is asked for begins behind the end (416)."""


def delivery_url(object_id: UUID) -> str:
    """Return the address of an object's bytes, for who sends a token."""
    return f"{settings.PUBLIC_URL}{_route()}{object_id}/"


@cache
def _route() -> str:
    nobody = UUID(int=0)
    return reverse("storage-content", kwargs={"object_id": nobody}).removesuffix(f"{nobody}/")


def signed_delivery_url(stored: StoredObject, expire_at: datetime) -> str:
    """Return an address at which anyone gets the object until then, from this service."""
    expires = int(expire_at.timestamp())
    return f"{delivery_url(stored.pk)}?{urlencode({'expires': expires, 'signature': signature(stored, expires)})}"


def signature(stored: StoredObject, expires: int) -> str:
    """Return what proves that we gave out the address, for the bytes as they are now."""
    return SIGNER.signature(f"{stored.pk}:{stored.key}:{expires}")


def signature_holds(stored: StoredObject, expires: str, given: str) -> bool:
    """Tell whether an address is ours, for these very bytes, and not over."""
    if not re.fullmatch(r"[0-9]{1,11}", expires) or int(expires) <= now().timestamp():
        return False
    return constant_time_compare(given.encode(), signature(stored, int(expires)).encode())


def etag_of(stored: StoredObject) -> str:
    """Return the entity tag: the hash of the bytes."""
    return f'"{stored.sha256}"'


def asked_span(stored: StoredObject, header: str | None, if_range: str | None) -> Span | None:
    """Return the bytes that a Range header asks for; None for the whole object. Raises `NotSatisfiable`.

    Several ranges, other units and nonsense are answered with the whole, as RFC 9110 14.2 allows; so is a range of another version.
    """
    found = RANGE.fullmatch((header or "").replace(" ", ""))
    if found is None or found.group() == "bytes=-" or not same_version(stored, if_range):
        return None
    first, last = found.groups()
    if not first:
        length = min(int(last), stored.size)
        if length == 0:
            raise NotSatisfiable
        return Span(stored.size - length, stored.size - 1)
    if last and int(last) < int(first):
        return None
    if int(first) >= stored.size:
        raise NotSatisfiable
    return Span(int(first), min(int(last), stored.size - 1) if last else stored.size - 1)


def same_version(stored: StoredObject, if_range: str | None) -> bool:
    """Tell whether an If-Range header, if any, speaks of these bytes."""
    if not if_range:
        return True
    if if_range.startswith(('"', "W/")):
        return if_range == etag_of(stored)
    moment = parse_http_date_safe(if_range)
    return moment is not None and moment == int(stored.updated_at.timestamp())


def headers_of(stored: StoredObject) -> dict[str, str]:
    """Return what is said of every delivery. Nothing that comes from users may run in a browser under our name."""
    return {
        "Content-Type": stored.content_type,
        "Content-Disposition": disposition(stored.content_type, file_name(stored.path)),
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
    }


def stream_of(stored: StoredObject, span: Span) -> ObjectStream:
    """Return the bytes in chunks; close it. The store is asked before the first one is taken: raises `NotFound`, `Unavailable`."""
    return ObjectStream(stored.key, span, ExitStack())


def deliver(stored: StoredObject, span: Span) -> ObjectStream:
    """Return the bytes for somebody who reads at a pace of their own: they hold a place until the stream is closed. Raises as `stream_of`."""
    held = ExitStack()
    held.enter_context(download_slots.hold(stored.project_id))
    try:
        return ObjectStream(stored.key, span, held)
    except NotFound as error:
        held.close()
        raise bytes_lost(stored.pk) from error
    except BaseException:
        held.close()
        raise


class ObjectStream:
    """An iterator over bytes of a key that goes on where the store broke off.

    After some failures the error comes through: the connection to the client then breaks too, which tells it that bytes are missing.
    """

    def __init__(self, key: str, span: Span, held: ExitStack) -> None:
        self._key = key
        self._held = held
        self._at, self._last = span.first, span.last
        self._failures = 0
        self._stream = bucket().open(key, span.first, span.last) if span.length > 0 else None

    def __iter__(self) -> ObjectStream:
        return self

    def __next__(self) -> bytes:
        """Return the next chunk, of 256 KiB at most."""
        while self._stream is not None and self._at <= self._last:
            try:
                chunk = self._read(self._stream)
            except Exception as error:
                self._open_again(error)
                continue
            self._at += len(chunk)
            return chunk
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Give the connection to the store and the place back."""
        self._drop()
        self._held.close()

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _read(self, stream: IO[bytes]) -> bytes:
        if chunk := stream.read(CHUNK):
            return chunk
        raise EOFError("the store ended the stream early")

    def _open_again(self, error: Exception) -> None:
        self._drop()
        self._failures += 1
        logger.warning("reading %s broke off at byte %d: %s", self._key, self._at, error)
        if self._failures > RETRIES:
            raise error
        self._stream = bucket().open(self._key, self._at, self._last)
