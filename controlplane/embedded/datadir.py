"""The data folder: where everything lies, with which mode, and the lock that keeps a second supervisor out."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.errors import EmbeddedError
from controlplane.embedded.processes import is_alive

# A unix socket's path has at most 107 bytes; the deepest of ours is agent/agent.sock.
LONGEST_PATH = 85
PREVIOUS_STOPS_WITHIN_SECONDS = 45.0


@dataclass(frozen=True)
class DataDir:
    """Paths inside the data folder."""

    root: Path

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def environment(self) -> Path:
        return self.root / "env.json"

    @property
    def stack(self) -> Path:
        return self.run / "stack.json"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    @property
    def seaweedfs(self) -> Path:
        return self.root / "seaweedfs"

    @property
    def agent(self) -> Path:
        return self.root / "agent"

    def has_data(self) -> bool:
        """Whether a server of ours has ever written here."""
        return self.postgres.exists() or any(folder.exists() and any(folder.iterdir()) for folder in (self.valkey, self.seaweedfs))

    def create(self) -> None:
        """Make the folders, private to the user. As root the top one may be passed through (not listed): PostgreSQL runs as another user."""
        if len(bytes(self.root)) > LONGEST_PATH:
            raise EmbeddedError(
                f"The data folder's path is too long for unix sockets ({LONGEST_PATH} bytes at most): {self.root}. Use --data-dir."
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for folder in (self.run, self.logs, self.valkey, self.seaweedfs, self.agent):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
        except PermissionError as error:
            raise EmbeddedError(f"No permission to use {error.filename}. Choose another folder with --data-dir or DATA_DIR.") from error


def take_lock(data: DataDir, *, say: Callable[[str], None], patience: float = PREVIOUS_STOPS_WITHIN_SECONDS) -> int:
    """Hold the folder for this process and its forks; returns the open file. Raises EmbeddedError when another supervisor has it.

    A supervisor whose front process was killed still holds the lock while it stops its servers: that is waited for.
    """
    lock = os.open(data.run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + patience
    waiting = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(lock)
            if (holder and is_alive(holder)) or time.monotonic() > deadline:
                os.close(lock)
                raise EmbeddedError(f"Already running on {data.root} (pid {holder}). Stop that one, or use another --data-dir.") from None
            if not waiting:
                say("waiting for the previous stack on this folder to stop")
                waiting = True
            time.sleep(0.05)
        else:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock


def _holder(lock: int) -> int | None:
    text = os.pread(lock, 32, 0).strip()
    return int(text) if text.isdigit() else None


def temporary_folder() -> Path:
    """The system's temporary folder, or /tmp when its path leaves no room for sockets below it."""
    usual = Path(tempfile.gettempdir())
    return usual if len(bytes(usual)) <= LONGEST_PATH // 2 else Path("/tmp")  # noqa: S108
