"""Folders deeper than Python's recursion and the kernel's paths reach, as plugins can make them."""

from __future__ import annotations

import os
from pathlib import Path

DEPTH = 3000


def fill_deeply(folder: Path, *, link_to: Path | None = None) -> None:
    """Put a chain of folders into a folder, files on its way, an empty and a full folder that must not be written to."""
    descriptor = os.open(folder, os.O_RDONLY)
    for level in range(DEPTH):
        os.mkdir("a", dir_fd=descriptor)
        inner = os.open("a", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
        if level % 500 == 0:
            os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
            for name in ("empty", "full"):
                os.mkdir(name, dir_fd=descriptor)
            os.mkdir("full/inner", dir_fd=descriptor)
            os.close(os.open("full/inner/file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
            for name in ("empty", "full/inner", "full"):
                os.chmod(name, 0o500, dir_fd=descriptor)
            if link_to is not None:
                os.symlink(link_to, "link", dir_fd=descriptor)
    os.close(descriptor)
