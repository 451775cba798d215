"""Room on the disk of a build: what there must be, and what is told when there is none. It is nobody's fault but the installation's."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.errors import BuildDelayed

NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
# The system, and other workers, need some of the disk themselves.
LEAST_FREE_BYTES = 128 * 1024**2


@contextmanager
def telling_of_room(place: str) -> Iterator[None]:
    """Turn the error of a full disk into BuildDelayed (NO_BUILD_FOLDER)."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise no_room(place) from error


def check_room(folder: Path) -> None:
    """Raise BuildDelayed (NO_BUILD_FOLDER) when the disk of a folder is nearly full."""
    if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
        raise no_room(str(folder))


def no_room(place: str) -> BuildDelayed:
    """Return what is told of a full disk."""
    detail = f"The disk of {place}, where bundles are built, is full. Free some of it, or have BUILD_FOLDER and TMPDIR on a larger one."
    return BuildDelayed("NO_BUILD_FOLDER", detail)
