"""Text from the archive, made safe to show in a message."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"\[(?=[a-zA-Z#/@])")
_LONGEST = 120


def quoted(text: str) -> str:
    """`text` in double quotes on one line, shortened, with what a terminal would interpret made harmless.

    Command line clients render messages as markup in which an opening bracket and a slash end the program, so an opening
    bracket is set apart from what follows it.
    """
    shown = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text[: _LONGEST + 1])
    if len(text) > _LONGEST:
        shown = shown[:_LONGEST] + "..."
    return '"' + _MARKUP.sub("[ ", shown) + '"'


def quoted_list(names: list[str], *, most: int = 10) -> str:
    """Names in quotes with commas between; past `most` only their number is told."""
    shown = ", ".join(quoted(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def mebibytes(size: int) -> str:
    """A size in bytes as people read it, never rounded to less than it is worth telling."""
    if size < 1024:
        return f"{size} bytes"
    if size < 1024 * 1024:
        return f"{size / 1024:.1f} KiB"
    return f"{size / (1024 * 1024):.1f} MiB"
