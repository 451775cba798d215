"""Content types: what may be told about an object, and what a browser may show in place."""

from __future__ import annotations

import re
from urllib.parse import quote

from controlplane.common.errors import InvalidInput
from storage.models import CONTENT_TYPE_LENGTH

DEFAULT = "application/octet-stream"
WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
RULE = re.compile(rf'{WORD}/{WORD}(?:[ \t]*;[ \t]*{WORD}=(?:{WORD}|"[^"\\\x00-\x1f\x7f-\U0010ffff]*"))*')
# Shown by a browser without running anything of theirs. All else, SVG, HTML, XML and PDF among it, is saved to disk.
SHOWN = re.compile(r"image/(?:png|jpeg|gif|webp|avif|bmp|tiff)|video/[\w.+-]+|audio/[\w.+-]+|text/plain|application/json", re.ASCII)
# Whatever is shown in place runs nothing and embeds nothing.
POLICY = "default-src 'none'; sandbox; frame-ancestors 'self'"


def checked_content_type(text: str | None) -> str:
    """Return a content type (RFC 9110 8.3), the default for none. Raises `InvalidInput`."""
    text = (text or "").strip()
    if not text:
        return DEFAULT
    if len(text) > CONTENT_TYPE_LENGTH or not RULE.fullmatch(text):
        raise InvalidInput(
            "content_type", "This is not a content type. Give one such as image/png.", fields={"content_type": ["type/subtype"]}
        )
    return text


def essence(content_type: str) -> str:
    """Return `type/subtype` in lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_shown(content_type: str) -> bool:
    """Tell whether browsers may show it in place."""
    return SHOWN.fullmatch(essence(content_type)) is not None


def disposition(content_type: str, name: str) -> str:
    """Return the Content-Disposition (RFC 6266): `inline` only for what cannot run anything."""
    kind = "inline" if is_shown(content_type) else "attachment"
    if not name:
        return kind
    plain = re.sub(r'[^\x20-\x7e]|["\\%]', "_", name)
    encoded = quote(name, safe="")
    return f'{kind}; filename="{plain}"' + ("" if plain == name else f"; filename*=UTF-8''{encoded}")
