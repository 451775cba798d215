"""Folders on the disk, one for each run that needs one. Nothing in them outlives the run, nor a process that was killed."""

import fcntl
import os
import shutil
import tempfile
import threading
from pathlib import Path

from runtime.errors import DiskFull
from runtime.log import write_log
from runtime.removal import remove_tree

PREFIX = "runtime-"
LOCK = "lock"
SPARE_BYTES = 64 * 1024 * 1024
GIGABYTE = 1024**3


def base_folder() -> Path:
    """Where this process and the workflow's plugins may write: TMPDIR, else HOME."""
    for name in ("TMPDIR", "HOME"):
        if os.environ.get(name) and os.access(os.environ[name], os.W_OK):
            return Path(os.environ[name]).resolve()
    return Path(tempfile.gettempdir()).resolve()


class Scratch:
    """This process's folder below `base`. Its lock tells others that its owner lives; a dead owner's folder is removed."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._guard = threading.Lock()
        remove_leftovers(base)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self._lock = _take_lock(self.folder)

    def make(self, run: str) -> Path:
        """A new, empty folder for a run."""
        folder = self.folder / run
        folder.mkdir(mode=0o700)
        return folder

    def remove(self, folder: Path) -> None:
        """Remove a run's folder, also when something still writes into it for a moment."""
        for _ in range(3):
            remove_tree(folder)
            if not folder.exists():
                return

    def claim(self, path: Path, size: int) -> None:
        """Make a file of `size` bytes whose room on the disk is taken from now on; raises DiskFull when there is too little."""
        with self._guard:
            self.check_room(size)
            with path.open("xb") as file:
                if size:
                    os.posix_fallocate(file.fileno(), 0, size)

    def check_room(self, size: int) -> None:
        """Raises DiskFull when the disk has no room for `size` bytes more."""
        free = max(0, shutil.disk_usage(self._base).free - SPARE_BYTES)
        if size > free:
            raise DiskFull(
                f"{size / GIGABYTE:.2f} GB are needed on the disk of this replica, {free / GIGABYTE:.2f} GB are free; "
                "send smaller objects, or try again when other runs have ended"
            )

    def close(self) -> None:
        """Remove everything."""
        self.remove(self.folder)
        os.close(self._lock)


def remove_leftovers(base: Path) -> None:
    """Remove the folders of processes that died without doing so. One that can't be removed stays: no start fails for it."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            _remove_if_dead(folder)
        except Exception as error:
            write_log("WARNING", f"what an earlier process left in {folder} can't be removed: {type(error).__name__}: {error}")


def _remove_if_dead(folder: Path) -> None:
    if not (folder / LOCK).is_file():
        return
    try:
        descriptor = _take_lock(folder)
    except BlockingIOError:
        return  # its owner lives
    try:
        remove_tree(folder)
    finally:
        os.close(descriptor)


def _take_lock(folder: Path) -> int:
    descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
