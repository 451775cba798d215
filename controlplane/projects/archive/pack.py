"""A folder made into an archive as a push would send it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

_LEFT_OUT = {"__pycache__", ".git", ".github", ".idea", ".DS_Store"}
_EARLIEST = (1980, 1, 1, 0, 0, 0)


def pack_folder(path: Path) -> bytes:
    """A zip of all files below `path` (held in memory: for the small example workflows).

    The same contents give the same bytes on every machine: names are sorted, times and modes are fixed, caches, version
    control folders and links are left out.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(path.rglob("*"), key=lambda file: file.relative_to(path).as_posix()):
            name = file.relative_to(path)
            if file.is_symlink() or not file.is_file() or _LEFT_OUT.intersection(name.parts) or file.suffix == ".pyc":
                continue
            entry = zipfile.ZipInfo(name.as_posix(), date_time=_EARLIEST)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, file.read_bytes(), compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
    return packed.getvalue()
