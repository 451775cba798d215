"""JSON that each public client can display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import JSONRenderer

MARKUP_CLIENT = "IkomiaCli"
TAG_END, WORD_JOINER_BETWEEN = b"[/", b"[\\u2060/"


class ReadableJSONRenderer(JSONRenderer):
    """JSON; the command line client takes texts for markup, so one that holds `[/` would end its whole list in a traceback.

    For that client alone (known by its User-Agent) an invisible word joiner stands between the two. In JSON they follow each other only inside
    of strings, so the bytes are replaced. Checked with rich 12.6, which takes `[` for a tag only before a letter, `#`, `/` or `@`.
    """

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None) -> bytes:
        """Return the body."""
        rendered: bytes = super().render(data, accepted_media_type, renderer_context)
        request = (renderer_context or {}).get("request")
        if request is not None and request.headers.get("User-Agent", "").startswith(MARKUP_CLIENT):
            return rendered.replace(TAG_END, WORD_JOINER_BETWEEN)
        return rendered
