"""Names of files in an archive: what may be written below a folder without ever leaving it or meeting another file."""

from __future__ import annotations

import re
import unicodedata

from controlplane.common.errors import InvalidInput
from controlplane.projects.archive.limits import ArchiveLimits
from controlplane.projects.archive.wording import quoted

_DRIVE = re.compile(r"[A-Za-z]:")


def check_name(name: str, *, limits: ArchiveLimits) -> None:
    """Refuse a name that is not a plain relative path with forward slashes (`unsafe_name`, `name_too_long`)."""
    wrong = _what_is_wrong(name)
    if wrong:
        raise InvalidInput(
            "unsafe_name",
            f"The archive has a file named {quoted(name)}: {wrong}. Files must lie inside the archive; rename it and pack again.",
        )
    parts = name.rstrip("/").split("/")
    if (
        len(name.encode()) > limits.name_bytes
        or len(parts) > limits.name_depth
        or any(len(part.encode()) > limits.name_part_bytes for part in parts)
    ):
        raise InvalidInput(
            "name_too_long",
            f"The name {quoted(name)} is too long: {limits.name_bytes} bytes in all, {limits.name_part_bytes} for each folder or file "
            f"and {limits.name_depth} levels are allowed. Shorten it and pack again.",
        )


def _what_is_wrong(name: str) -> str | None:
    if not name.strip("/ "):
        return "the name is empty"
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        return "it holds a control character"
    if "\\" in name:
        return "it holds a backslash"
    if name.startswith("/"):
        return "it is an absolute path"
    if _DRIVE.match(name):
        return "it starts with a drive letter"
    parts = name.removesuffix("/").split("/")
    if ".." in parts:
        return "it climbs out of its folder with .."
    if "." in parts or "" in parts:
        return "it has an empty part or a lone dot"
    return None


def folded(name: str) -> str:
    """The key under which two names are the same file on some machine (case and Unicode form are ignored)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class NameSet:
    """The names seen so far, with their folders; refuses a name that another one already takes."""

    def __init__(self) -> None:
        self._spelled: dict[str, str] = {}
        self._listed: set[str] = set()
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add(self, name: str, *, is_folder: bool) -> None:
        """Take `name` (without its trailing slash). Raises InvalidInput: `duplicate_name`, `ambiguous_name`."""
        if name in self._listed:
            raise InvalidInput("duplicate_name", f"The name {quoted(name)} is in the archive twice. Pack it once.")
        self._listed.add(name)
        parts = name.split("/")
        folders = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        for taken in [*folders, name]:
            spelled = self._spelled.setdefault(folded(taken), taken)
            if spelled != taken:
                raise InvalidInput(
                    "ambiguous_name",
                    f"The names {quoted(spelled)} and {quoted(taken)} differ only in case or in how their letters are encoded: "
                    "on some machines they are one file. Rename one of them.",
                )
        self._folders.update(folders)
        (self._folders if is_folder else self._files).add(name)
        both = next((taken for taken in [*folders, name] if taken in self._files and taken in self._folders), None)
        if both is not None:
            raise InvalidInput("ambiguous_name", f"The name {quoted(both)} is used for a file and for a folder. Rename one of them.")
