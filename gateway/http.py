"""Requests and answers over raw ASGI: what every protocol of the gateway needs of HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from gateway.budget import Reservation
from gateway.errors import InvalidInput, TooLarge, UnsupportedMedia

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
TRUE = {"true", "1", "yes", "on"}


@dataclass(slots=True)
class Answer:
    """A complete answer. `after` is called once it was written (True) or could not be (False)."""

    status: int
    body: bytes = b""
    headers: list[Header] = field(default_factory=lambda: [JSON])
    after: Callable[[bool], None] | None = None


@dataclass(slots=True)
class Request:
    """A request to an endpoint: `path` is what follows the endpoint's own address."""

    method: str
    path: str
    scope: Scope
    receive: Receive
    request_id: str
    _query: dict[str, str] | None = None

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value; `name` in lower case."""
        for key, value in self.scope["headers"]:
            if key == name:
                return bytes(value)
        return None

    def flag(self, name: str) -> bool:
        """Tell whether a query parameter says yes (`true`, `True`, `1`, ...)."""
        if self._query is None:
            text: bytes = self.scope["query_string"]
            self._query = dict(pair.partition("=")[::2] for pair in text.decode("latin-1").split("&"))
        return self._query.get(name, "").lower() in TRUE

    async def json_body(self, limit: int, reservation: Reservation) -> bytes:
        """Return the body without looking into it. Raises `UnsupportedMedia`, `TooLarge`, `Busy`, `InvalidInput` when the caller goes away."""
        self._check_media()
        announced = self.header(b"content-length") or b""
        if announced.isdigit():
            if int(announced) > limit:
                raise too_large(limit)
            reservation.grow_to(int(announced))
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise InvalidInput("incomplete_body", "The caller went away before the body was complete.")
            chunk = message.get("body", b"")
            if chunk:
                size += len(chunk)
                if size > limit:
                    raise too_large(limit)
                reservation.grow_to(size)
                chunks.append(chunk)
            if not message.get("more_body", False):
                break
        if not size:
            raise InvalidInput("invalid_json", "The body is empty. Send a JSON object with inputs, outputs and parameters.")
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _check_media(self) -> None:
        media = (self.header(b"content-type") or b"application/json").partition(b";")[0].strip().lower()
        if media not in {b"application/json", b"application/octet-stream", b""}:
            raise UnsupportedMedia("not_json", "Send the body as JSON, with `Content-Type: application/json`.")
        if (self.header(b"content-encoding") or b"identity").lower() != b"identity":
            raise UnsupportedMedia("encoded_body", "Send the body without a Content-Encoding.")


def too_large(limit: int) -> TooLarge:
    """Return the refusal of a body over the limit (bytes)."""
    return TooLarge(
        "body_too_large", f"The body is larger than {limit} bytes. Upload large inputs to the storage and send their storage_object."
    )
