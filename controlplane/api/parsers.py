"""What bodies of requests may look like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser

from controlplane.common.errors import TooLarge

# No body of ours is nested deeper than five or so. What passes here must not fail later, where the stack is deeper than in the parser.
DEEPEST = 100
MOST_SIGNED_BYTES = 1024 * 1024
TOO_DEEP = f"JSON parse error - it is nested too deeply: {DEEPEST} levels are the most."


class PlainJSONParser(JSONParser):
    """JSON, nested as deeply as anybody needs; Python's own parser ends deeper ones with a `RecursionError`."""

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the value. Raises `ParseError`, which becomes a 400."""
        try:
            parsed: dict[str, Any] = super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError(TOO_DEEP) from error
        if depth_over(parsed, DEEPEST):
            raise ParseError(TOO_DEEP)
        return parsed


class SignedJSONParser(BaseParser):
    """JSON whose signature is of its bytes: they are handed over as they came, up to MOST_SIGNED_BYTES of them."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> dict[str, bytes]:
        """Return the bytes as `signed`. Raises `TooLarge`."""
        body: bytes = stream.read(MOST_SIGNED_BYTES + 1)
        if len(body) > MOST_SIGNED_BYTES:
            raise TooLarge("too_large", f"The body is over {MOST_SIGNED_BYTES} bytes.")
        return {"signed": body}


def depth_over(value: Any, limit: int) -> bool:
    """Tell whether lists and objects are nested deeper than `limit`, level by level."""
    level = containers([value])
    for _ in range(limit):
        level = [inner for one in level for inner in containers(one.values() if isinstance(one, dict) else one)]
    return bool(level)


def containers(values: Iterable[Any]) -> list[Any]:
    """Return the lists and objects among some values."""
    return [value for value in values if isinstance(value, list | dict)]
