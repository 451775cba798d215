"""What the agent knows of its machine: folders, sandbox, limits, and the names and paths that follow from them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.providers.local.bundle_cache import BundleCache
from deployments.providers.local.limits import Limiter
from deployments.providers.local.sandbox import Sandbox

# A unix socket's path has room for 107 bytes; "<folder>/<10 letters>/storage.sock" is the longest of ours.
LONGEST_SOCKET_FOLDER = 107 - len("/0123456789/storage.sock")
RUN_TIMEOUT_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the agent keeps things, below `<DATA_DIR>/agent`."""

    root: Path
    replicas: Path
    bundles: Path
    logs: Path
    run: Path

    @classmethod
    def make(cls, root: Path) -> Folders:
        """Create the folders. Other users may pass through to what is theirs, but not list; logs and specifications are private."""
        folders = cls(root=root, replicas=root / "replicas", bundles=root / "bundles", logs=root / "logs", run=run_folder(root))
        for folder, mode in (
            (root, 0o711),
            (folders.replicas, 0o700),
            (folders.bundles, 0o711),
            (folders.logs, 0o700),
            (folders.run, 0o711),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
        return folders


def run_folder(root: Path) -> Path:
    """Return where the sockets are: below the root, or in the system's temporary folder when the root's path is too long for them."""
    if len(os.fsencode(root / "r")) <= LONGEST_SOCKET_FOLDER:
        return root / "r"
    short = Path(tempfile.gettempdir()) / f"slipway-{hashlib.sha256(os.fsencode(root)).hexdigest()[:12]}"
    short.mkdir(mode=0o711, exist_ok=True)
    if short.is_symlink() or short.stat().st_uid != os.geteuid():
        raise PermissionError(f"{short} belongs to someone else: choose a DATA_DIR with a shorter path.")
    return short


@dataclass(frozen=True, slots=True)
class Host:
    """Everything that a replica's supervisor needs to know."""

    folders: Folders
    bundles: BundleCache
    sandbox: Sandbox
    limiter: Limiter
    origin: str
    cores: int

    @property
    def isolation(self) -> dict[str, str]:
        """Return the level reached, for the API."""
        return {**self.sandbox.report, "limits": self.limiter.level}

    def workers(self, vcpu: int) -> int:
        """Return how many runs an offer's replica does at a time: its vCPUs, or the machine's cores if there are fewer."""
        return max(1, min(vcpu, self.cores))

    def arguments(self, *, bundle: Path, folder: Path, vcpu: int, memory_mb: int) -> Sequence[str]:
        """Return the runtime's arguments."""
        options = {
            "--bundle": bundle,
            "--socket": folder / "run.sock",
            "--workers": self.workers(vcpu),
            "--run-timeout": RUN_TIMEOUT_SECONDS,
            "--memory-mb": memory_mb,
            "--storage-socket": folder / "storage.sock",
            "--storage-origin": self.origin,
        }
        return ["-m", "runtime", *(str(part) for option in options.items() for part in option)]

    def environment(self, *, folder: Path, vcpu: int) -> dict[str, str]:
        """Return the whole environment of a runtime: nothing of the agent's own, least of all its secrets."""
        return {
            "PATH": f"{self.sandbox.python.parent}:/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "home"),
            "PYTHONPATH": str(self.sandbox.code),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": str(max(1, vcpu // self.workers(vcpu))),
        }
