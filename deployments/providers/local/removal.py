"""Remove folders that runtimes have filled, however deep they are. The runtime has the same for itself: neither imports the other."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as permissions allow. Links are not followed, no OSError is raised.

    `shutil.rmtree` calls itself for each level. Here, folders in folders are moved up to the first level and taken apart there:
    neither the depth nor the length of a path is limited, and a few descriptors are enough.
    """
    with contextlib.suppress(OSError), _opened(folder) as top:
        fresh = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count())
        names = os.listdir(top)
        while names:
            names += _take_apart(names.pop(), top, fresh)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _take_apart(name: str, top: int, fresh: Iterator[str]) -> list[str]:
    """Remove an entry of the top folder; gives the new names there of the folders that were in it."""
    moved: list[str] = []
    if _removed(name, top):
        return moved
    with contextlib.suppress(OSError), _opened(name, top) as folder:
        for inner in os.listdir(folder):
            if not _removed(inner, folder):
                with contextlib.suppress(OSError):
                    _move_up(inner, folder, new := next(fresh), top)
                    moved.append(new)
    _removed(name, top)
    return moved


def _move_up(name: str, parent: int, new: str, top: int) -> None:
    """A folder that may not be written to can't be moved either, hence the change of its mode."""
    with contextlib.suppress(OSError), _opened(name, parent):
        pass
    os.rename(name, new, src_dir_fd=parent, dst_dir_fd=top)


def _removed(name: str, parent: int) -> bool:
    """Remove a file, a link or an empty folder; False when it is still there."""
    for remove in (os.unlink, os.rmdir):
        try:
            remove(name, dir_fd=parent)
        except FileNotFoundError:
            return True
        except OSError:
            continue
        return True
    return False


@contextlib.contextmanager
def _opened(path: Path | str, parent: int | None = None) -> Iterator[int]:
    """A folder (no link to one), which may be changed from now on."""
    descriptor = os.open(path, OPEN_FOLDER, dir_fd=parent)
    try:
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o700)
        yield descriptor
    finally:
        os.close(descriptor)
