"""The check of an uploaded package: the container checks of pushes, then what the engine imports must be at the root."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import BinaryIO

from controlplane.common.errors import InvalidInput
from controlplane.projects.archive import ArchiveLimits
from controlplane.projects.archive.container import read_directory
from controlplane.projects.archive.entries import list_entries
from controlplane.projects.archive.members import check_member
from controlplane.projects.archive.wording import mebibytes, quoted, quoted_list

PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CheckedPackage:
    """A package that passed; sizes in bytes."""

    sha256: str
    size: int
    files: int
    unpacked_size: int


def check_package(stream: BinaryIO, *, name: str, limits: ArchiveLimits) -> CheckedPackage:
    """Read all of a seekable zip and accept it as the plugin `name`, or raise InvalidInput with a code of docs/workflows.md or docs/hub.md.

    Nothing is unpacked to disk. The stream is left at its start.
    """
    try:
        size = stream.seek(0, io.SEEK_END)
        if not size:
            raise InvalidInput("archive_empty", "The package is empty: no byte arrived. Upload it again.")
        if size > limits.archive_bytes:
            raise InvalidInput(
                "archive_too_large", f"A package may have {mebibytes(limits.archive_bytes)}. Leave out files that the run does not need."
            )
        stream.seek(0)
        digest = hashlib.sha256()
        while piece := stream.read(PIECE):
            digest.update(piece)
        entries = list_entries(stream, read_directory(stream, size=size, limits=limits), limits=limits)
        files = {entry.name for entry in entries if not entry.is_folder}
        check_files(files, name)
        for entry in entries:
            check_member(stream, entry)
    finally:
        stream.seek(0)
    return CheckedPackage(sha256=digest.hexdigest(), size=size, files=len(files), unpacked_size=sum(entry.size for entry in entries))


def check_files(files: set[str], name: str) -> None:
    """Refuse a package without the two files that the engine imports."""
    needed = [f"{name}.py", f"{name}_process.py"]
    missing = [file for file in needed if file not in files]
    if not missing:
        return
    if any(file.endswith((".so", ".dll", ".dylib")) for file in files):
        raise InvalidInput("package_not_python", f"The package of {quoted(name)} is compiled. Only plugins written in Python run here.")
    deeper = any(file.split("/")[-1] == needed[0] for file in files)
    advice = "Zip the contents of the plugin's folder, not the folder itself." if deeper else "Add what is missing, with these names."
    raise InvalidInput(
        "package_incomplete", f"The package of {quoted(name)} lacks {quoted_list(missing)} at its root, which the engine imports. {advice}"
    )
