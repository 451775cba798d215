"""What a request with a key is: whose, where, and with which parameters. All of it is kept as digests that only SECRET_KEY makes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from hmac import HMAC

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from controlplane.api.idempotency.bodies import is_streamed, media_type
from controlplane.api.idempotency.errors import bad_key, body_too_large

HEADER = "Idempotency-Key"
META = "HTTP_IDEMPOTENCY_KEY"
METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LONGEST = 255
KEY_RULE = re.compile(rf"[\x20-\x7e]{{1,{LONGEST}}}")


@dataclass(frozen=True)
class Asked:
    """A request under a key. `caller`, `method`, `path` and `key` name it, `parameters` are what must be the same when it comes again."""

    caller: str
    method: str
    path: str
    key: str
    parameters: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """The name of the row: 64 hexadecimal digits."""
        return self._mac("digest").hexdigest()

    @cached_property
    def fingerprint(self) -> str:
        """The digest of the parameters. It takes SECRET_KEY and the key itself to guess at a password in a body."""
        return self._mac("fingerprint", *self.parameters).hexdigest()

    @cached_property
    def sealing_key(self) -> bytes:
        """The 32 bytes that encrypt the reply."""
        return self._mac("seal").digest()

    def body_fingerprint(self, digest: str) -> str:
        """Return the fingerprint of a streamed body with this digest."""
        return self._mac("body", digest).hexdigest()

    def _mac(self, use: str, *more: str) -> HMAC:
        words = json.dumps([self.caller, self.method, self.path, self.key, *more])
        return salted_hmac(f"slipway.idempotency.{use}", words, algorithm="sha256")


def asked_with(request: HttpRequest, caller: str) -> Asked:
    """Return what a request with a key asks; a body that is no stream is read. Raises `InvalidInput` (no key), `TooLarge` (body)."""
    key = request.META[META]
    if not KEY_RULE.fullmatch(key):
        raise bad_key(LONGEST)
    kind = str(request.META.get("CONTENT_TYPE") or "")
    parameters = ("stream", media_type(kind)) if is_streamed(request) else ("body", kind, sha256(whole_body(request)).hexdigest())
    query = str(request.META.get("QUERY_STRING") or "")
    return Asked(caller, str(request.method), request.path, key, (query, *parameters))


def whole_body(request: HttpRequest) -> bytes:
    """Return a body of 2 MiB at most; parsers find it again. Raises `TooLarge`."""
    try:
        return request.body
    except RequestDataTooBig as error:
        raise body_too_large(settings.DATA_UPLOAD_MAX_MEMORY_SIZE) from error
