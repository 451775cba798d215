"""The check that every pushed workflow archive passes before anything of it is stored or run.

Pure functions on a stream: no database, no engine, nothing is ever extracted to disk. `docs/workflows.md` describes the format
and lists each refusal.
"""

from controlplane.projects.archive.check import CheckedArchive, check_archive
from controlplane.projects.archive.limits import ArchiveLimits
from controlplane.projects.archive.pack import pack_folder

__all__ = ["ArchiveLimits", "CheckedArchive", "check_archive", "pack_folder"]
