"""Bodies that are too large to hold: their digest is worked out while the view reads them, and again, without the view, on a replay.

Of a form the parts count, not the boundary between them: clients make a new one for each try.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, Protocol, cast

from django.http import HttpRequest
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from controlplane.common.errors import InvalidInput

FORM = "multipart/form-data"
MOST_PARTS = 1000
CHUNK = 64 * 1024


class Stream(Protocol):
    """A body as a server hands it over."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to `size` bytes, none at the end."""

    def readline(self, size: int = ..., /) -> bytes:
        """Return a line."""


class BodyDigest(Protocol):
    """Takes a body in pieces."""

    def feed(self, data: bytes) -> None:
        """Take the next piece. Raises `InvalidInput` for what is no form."""

    def result(self) -> str | None:
        """Return the digest, None for a form that has not ended."""


class RawDigest:
    """The digest of all bytes."""

    def __init__(self) -> None:
        self._hash = sha256()

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self._hash.update(data)

    def result(self) -> str | None:
        """Return the digest."""
        return self._hash.hexdigest()


class FormDigest:
    """The digest of a form's parts in their order: name, file name, type and content of each."""

    def __init__(self, boundary: str) -> None:
        self._parser = PushMultipartParser(boundary, max_segment_count=MOST_PARTS)
        self._form, self._part = sha256(), sha256()

    def feed(self, data: bytes) -> None:
        """Take the next piece. Raises `InvalidInput` for what is no form."""
        try:
            for event in self._parser.parse(data):
                self._take(event)
        except MultipartError as error:
            raise InvalidInput("malformed", f"The form is broken ({error}). Send it again.") from error

    def result(self) -> str | None:
        """Return the digest, None for a form that has not ended. Nothing can be fed afterwards."""
        try:
            self._parser.close()
        except MultipartError:
            return None
        return self._form.hexdigest()

    def _take(self, event: Any) -> None:
        if isinstance(event, MultipartSegment):
            self._part = sha256()
            self._form.update(json.dumps([event.name, event.filename, event.header("Content-Type")]).encode())
        elif event is None:
            self._form.update(self._part.digest())
        else:
            self._part.update(event)


class Overheard:
    """A stream whose reader is somebody else; `digest` hears all that is read."""

    def __init__(self, stream: Stream, digest: BodyDigest) -> None:
        self._stream, self.digest = stream, digest
        self.bytes_read = 0

    def read(self, *size: int) -> bytes:
        """Return what the stream has."""
        return self._heard(self._stream.read(*size))

    def readline(self, *size: int) -> bytes:
        """Return a line of the stream."""
        return self._heard(self._stream.readline(*size))

    def _heard(self, data: bytes) -> bytes:
        self.bytes_read += len(data)
        if data:
            self.digest.feed(data)
        return data


def media_type(content_type: str) -> str:
    """Return a content type without its parameters."""
    return str(parse_options_header(content_type)[0])


def is_chunked(request: HttpRequest) -> bool:
    """Tell whether a body comes without a length."""
    return "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def is_streamed(request: HttpRequest) -> bool:
    """Tell whether a body may be too large to hold."""
    return is_chunked(request) or media_type(str(request.META.get("CONTENT_TYPE") or "")) == FORM


def digest_for(request: HttpRequest) -> BodyDigest:
    """Return what works out the digest of a body."""
    kind, options = parse_options_header(str(request.META.get("CONTENT_TYPE") or ""))
    boundary = options.get("boundary")
    try:
        return FormDigest(boundary) if kind == FORM and boundary else RawDigest()
    except MultipartError as error:
        raise InvalidInput("malformed", f"The boundary of the form is none ({error}).") from error


def overhear(request: HttpRequest) -> Overheard:
    """Put something between a request's body and whoever will read it."""
    digest = digest_for(request)
    if is_chunked(request):  # Django sees no body then: views that take one read the server's own stream
        heard = request.META["wsgi.input"] = Overheard(request.META["wsgi.input"], digest)
        return heard
    plain = cast("Any", request)
    heard = plain._stream = Overheard(plain._stream, digest)
    return heard
