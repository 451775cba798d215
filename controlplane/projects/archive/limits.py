"""How much a push may hold."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """Bounds of one push; sizes are in bytes. Model weights travel inside plugin folders, so whole archives may be large."""

    archive_bytes: int = 512 * MIB
    unpacked_bytes: int = 2048 * MIB
    file_bytes: int = 1024 * MIB
    entries: int = 10_000
    directory_bytes: int = 8 * MIB
    """Size of the zip's own table of contents, which is the only part held in memory besides workflow.json."""
    ratio: int = 200
    """Unpacked to packed size, above which contents are taken for a bomb. Weights and sources stay below 20."""
    ratio_from_bytes: int = MIB
    """Contents smaller than this may have any ratio: a short file of blanks is no bomb."""
    name_bytes: int = 1024
    name_part_bytes: int = 255
    name_depth: int = 32
    workflow_bytes: int = 2 * MIB
    workflow_depth: int = 32
    workflow_values: int = 100_000
    tasks: int = 500
    connections: int = 5_000
    parameters: int = 1_000


DEFAULT_LIMITS = ArchiveLimits()
