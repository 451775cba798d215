"""The example workflows: packed once, stored once, and shared by every `Getting_started` project.

The archives lie under `examples/` in the object store (`manage.py prepare` puts them there), so a sign-up writes rows only.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from controlplane.common.objectstore import ObjectStore
from controlplane.projects.archive import CheckedArchive, check_archive, pack_folder

EXAMPLES = Path(__file__).parent / "examples"
GETTING_STARTED = ("blur", "edges", "histogram", "detect_objects")
PREFIX = "examples/"


@dataclass(frozen=True)
class Example:
    """An example as an archive: its bytes, what the check found, its key in the object store."""

    archive: bytes
    checked: CheckedArchive
    key: str


@cache
def example(name: str) -> Example:
    """Pack and check one example folder."""
    archive = pack_folder(EXAMPLES / name)
    checked = check_archive(io.BytesIO(archive))
    return Example(archive=archive, checked=checked, key=f"{PREFIX}{name}-{checked.sha256[:16]}.zip")


def store_examples(store: ObjectStore) -> list[str]:
    """Put the archives that are missing into the object store; return their keys."""
    keys = []
    for found in map(example, GETTING_STARTED):
        if not store.exists(found.key):
            store.put_bytes(found.key, found.archive, content_type="application/zip")
        keys.append(found.key)
    return keys
