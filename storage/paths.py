"""Paths of objects: names inside a project, never places on a disk or in the bucket."""

from __future__ import annotations

import unicodedata

from controlplane.common.errors import InvalidInput
from storage.models import PATH_LENGTH

# A name that reads backwards hides its suffix.
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def checked_path(path: str) -> str:
    """Return a path that an object can have. Raises `InvalidInput`.

    1 to 1024 characters of any script (2048 bytes, what an index takes), spaces included; segments parted by single slashes, none of them `.` or `..`; no control
    characters, no marks of direction, no backslash (it parts segments on other systems).
    """
    if not path or len(path) > PATH_LENGTH or len(path.encode("utf-8", "replace")) > 2 * PATH_LENGTH:
        raise refused(f"a path has 1 to {PATH_LENGTH} characters, {2 * PATH_LENGTH} bytes in UTF-8 at most")
    if any(unicodedata.category(character) in ("Cc", "Cs") or character in "\\" + TURNING for character in path):
        raise refused("control characters, marks that turn the direction of writing, and backslashes are not allowed")
    segments = path.split("/")
    if path.endswith("/"):
        raise refused("a path ends in a file's name, not in '/'")
    if any(segment in ("", ".", "..") for segment in segments):
        raise refused("segments that are empty, '.' or '..' are not allowed")
    return path


def searchable(prefix: str) -> bool:
    """Tell whether any object's path could begin with this text."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in prefix)


def file_name(path: str | None) -> str:
    """Return the last segment of a path, "" without one."""
    return path.rpartition("/")[2] if path else ""


def refused(why: str) -> InvalidInput:
    """Return the refusal of a path."""
    return InvalidInput("path", f"An object cannot have this path: {why}.", fields={"path": [why]})
