"""The whole check of a pushed archive, from its first byte to the workflow that it describes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, BinaryIO

from controlplane.common.errors import InvalidInput
from controlplane.projects.archive.connections import check_connections
from controlplane.projects.archive.container import read_directory
from controlplane.projects.archive.document import read_document
from controlplane.projects.archive.entries import Entry, list_entries
from controlplane.projects.archive.exposed import check_exposed, check_surroundings, read_name
from controlplane.projects.archive.limits import DEFAULT_LIMITS, ArchiveLimits
from controlplane.projects.archive.members import check_member, read_member
from controlplane.projects.archive.plugins import Known, Plugins, check_plugins, nothing_known
from controlplane.projects.archive.problems import Problems
from controlplane.projects.archive.tasks import read_tasks
from controlplane.projects.archive.wording import mebibytes, quoted_list

WORKFLOW_FILE = "workflow.json"
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CheckedArchive:
    """A push that passed; `plugins` are the folders of the plugins that its tasks use, `algorithms` those that it names without bringing them.

    `data` is workflow.json as written, but `metadata.name` is always there: public clients fail on a workflow without it.
    """

    name: str
    description: str
    data: dict[str, Any]
    plugins: tuple[str, ...]
    algorithms: tuple[str, ...]
    files: int
    size: int
    """Bytes of the archive."""
    unpacked_size: int
    """Bytes of all its files."""
    sha256: str


def check_archive(stream: BinaryIO, *, limits: ArchiveLimits = DEFAULT_LIMITS, known: Known = nothing_known) -> CheckedArchive:
    """Read all of the seekable `stream` and accept it, or raise InvalidInput with a code of `docs/workflows.md`.

    `known` tells which algorithms a workflow may name without having them in its archive.
    Memory stays bounded by `limits.directory_bytes` and `limits.workflow_bytes`, whatever the archive holds. The stream is left
    at its start.
    """
    try:
        size, sha256 = _measure(stream, limits=limits)
        entries = list_entries(stream, read_directory(stream, size=size, limits=limits), limits=limits)
        document = read_document(_read_workflow_file(stream, entries, limits=limits), limits=limits)
        files = frozenset(entry.name for entry in entries if not entry.is_folder)
        name, description, plugins = check_workflow(document, files, limits=limits, known=known)
        for entry in entries:
            check_member(stream, entry)
    finally:
        stream.seek(0)
    return CheckedArchive(
        name=name,
        description=description,
        data={**document, "metadata": {**document.get("metadata", {}), "name": name}},
        plugins=plugins.inside,
        algorithms=plugins.elsewhere,
        files=len(files),
        size=size,
        unpacked_size=sum(entry.size for entry in entries),
        sha256=sha256,
    )


def check_workflow(
    document: dict[str, Any], files: frozenset[str], *, limits: ArchiveLimits = DEFAULT_LIMITS, known: Known = nothing_known
) -> tuple[str, str, Plugins]:
    """Name, description and plugins of a workflow whose archive holds `files`; raises InvalidInput with all that is wrong."""
    problems = Problems()
    tasks = read_tasks(problems, document, limits=limits)
    problems.raise_if_any()
    check_connections(problems, document, tasks, limits=limits)
    check_exposed(problems, document, tasks)
    check_surroundings(problems, document)
    name, description = read_name(problems, document)
    plugins = check_plugins(problems, tasks, files, known)
    problems.raise_if_any()
    return name, description, plugins


def _measure(stream: BinaryIO, *, limits: ArchiveLimits) -> tuple[int, str]:
    """Size and SHA-256 of the stream; stops reading at the limit."""
    stream.seek(0)
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(_PIECE):
        digest.update(piece)
        size += len(piece)
        if size > limits.archive_bytes:
            raise InvalidInput(
                "archive_too_large",
                f"The archive is larger than {mebibytes(limits.archive_bytes)}. Leave out files that the run does not need.",
            )
    if not size:
        raise InvalidInput("archive_empty", "The archive is empty: no byte arrived. Push the workflow again.")
    return size, digest.hexdigest()


def _read_workflow_file(stream: BinaryIO, entries: list[Entry], *, limits: ArchiveLimits) -> bytes:
    entry = next((entry for entry in entries if entry.name == WORKFLOW_FILE), None)
    if entry is None:
        raise _no_workflow_file(entries)
    if entry.size > limits.workflow_bytes:
        raise InvalidInput(
            "workflow_too_large",
            f"workflow.json has {mebibytes(entry.size)}; {mebibytes(limits.workflow_bytes)} are allowed. Make the workflow smaller.",
        )
    return b"".join(read_member(stream, entry))


def _no_workflow_file(entries: list[Entry]) -> InvalidInput:
    elsewhere = sorted(entry.name for entry in entries if entry.name.split("/")[-1].lower() == WORKFLOW_FILE)
    if elsewhere:
        return InvalidInput(
            "workflow_misplaced",
            f"The archive has no workflow.json at its top, but {quoted_list(elsewhere)}. "
            "Pack the contents of the folder, not the folder itself, with the name workflow.json.",
        )
    return InvalidInput(
        "workflow_missing",
        "The archive has no workflow.json. Put the saved workflow under that name at the top, beside one folder for each plugin.",
    )
