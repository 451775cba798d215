"""Limits of a replica: cgroup v2, cgroup v1, or a watchdog that reads the memory in use.

RLIMIT_AS is of no use here: numpy and the engine map far more than they touch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

MEGABYTE = 1024 * 1024
PERIOD_US = 100_000
MAX_PROCESSES = 1024
CGROUP_ROOT = Path("/sys/fs/cgroup")
CLAIM_ATTEMPTS = 20
CLAIM_PAUSE = 0.05
GROUP_PREFIX = "slipway-"
CONTROLLERS = ("memory", "cpu", "pids")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a replica may use. `cpus` is None when the offer has at least as many vCPUs as the machine has cores."""

    memory_mb: int
    cpus: int | None


@dataclass(frozen=True, slots=True)
class Cage:
    """The cgroup folders that a replica's processes are in (none with the watchdog)."""

    folders: tuple[Path, ...] = ()

    def pids(self) -> set[int]:
        """Return the processes inside."""
        found: set[int] = set()
        for folder in self.folders:
            with contextlib.suppress(OSError, ValueError):
                found |= {int(pid) for pid in (folder / "cgroup.procs").read_text().split()}
        return found

    def kill(self) -> None:
        """Kill every process inside."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self) -> bool:
        """Remove the folders; False while a process is still on its way out."""
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True


@dataclass(slots=True)
class CgroupLimiter:
    """Makes a cage for each replica below folders of its own. `level` is "cgroup-v2" or "cgroup-v1"."""

    level: str
    roots: dict[str, Path] = field(default_factory=dict)
    claims: list[int] = field(default_factory=list)

    def make_cage(self, name: str, limits: Limits) -> Cage:
        """Create the folders and write the limits."""
        folders = {controller: root / name for controller, root in self.roots.items()}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        if self.level == "cgroup-v2":
            write_v2(folders["unified"], limits)
        else:
            write_v1(folders, limits)
        return Cage(tuple(folders.values()))

    def clear(self) -> None:
        """Kill and remove what this agent left when it was killed, and remove the empty folders of agents that never came back."""
        for root in self.roots.values():
            for cage in cages(root):
                cage.kill()
                cage.remove()
            for other in root.parent.glob(f"{GROUP_PREFIX}*"):
                if other != root and (claim := claimed(other)) is not None:
                    Cage((*(folder for cage in cages(other) for folder in cage.folders), other)).remove()
                    os.close(claim)

    def close(self) -> None:
        """Remove this agent's own folders."""
        Cage(tuple(self.roots.values())).remove()
        while self.claims:
            os.close(self.claims.pop())


class WatchdogLimiter:
    """No cgroup can be written: the agent looks at the memory in use each second and kills the largest process over the limit."""

    level = "memory-watchdog"

    def make_cage(self, name: str, limits: Limits) -> Cage:
        """Return an empty cage."""
        return Cage()

    def clear(self) -> None:
        """Nothing is left behind by a watchdog."""

    def close(self) -> None:
        """Nothing was made."""


Limiter = CgroupLimiter | WatchdogLimiter


def claimed(group: Path) -> int | None:
    """Return a descriptor that holds the lock of a group's folder, or None if a living agent holds it: the kernel frees it at death."""
    with contextlib.suppress(OSError):
        descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == group.stat().st_ino:
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


def claim_soon(group: Path) -> int:
    """Return the claim of a group, waiting out another agent that has just taken it for abandoned; raise OSError if it stays taken."""
    for _ in range(CLAIM_ATTEMPTS):
        group.mkdir(exist_ok=True)
        if (claim := claimed(group)) is not None:
            return claim
        time.sleep(CLAIM_PAUSE)
    raise BlockingIOError(f"another agent holds {group}")


def cages(group: Path) -> list[Cage]:
    """Return the cages that are in a group's folder."""
    return [Cage((folder,)) for folder in group.iterdir() if folder.is_dir()]


def write_v2(folder: Path, limits: Limits) -> None:
    """Write memory.max, cpu.max and pids.max."""
    (folder / "memory.max").write_text(str(limits.memory_mb * MEGABYTE))
    (folder / "pids.max").write_text(str(MAX_PROCESSES))
    if limits.cpus:
        (folder / "cpu.max").write_text(f"{limits.cpus * PERIOD_US} {PERIOD_US}")


def write_v1(folders: dict[str, Path], limits: Limits) -> None:
    """Write the same in the three hierarchies of version 1."""
    (folders["memory"] / "memory.limit_in_bytes").write_text(str(limits.memory_mb * MEGABYTE))
    (folders["pids"] / "pids.max").write_text(str(MAX_PROCESSES))
    if limits.cpus:
        (folders["cpu"] / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (folders["cpu"] / "cpu.cfs_quota_us").write_text(str(limits.cpus * PERIOD_US))


def find_limiter(group: str, *, root: Path = CGROUP_ROOT) -> Limiter:
    """Return the strongest limiter that works here, tried for real. `group` names this agent's folder."""
    for attempt in (try_v2, try_v1):
        with contextlib.suppress(OSError):
            return attempt(group, root)
    return WatchdogLimiter()


def try_v2(group: str, root: Path) -> CgroupLimiter:
    """Make a v2 folder with all three controllers, or raise OSError (also where the root is no cgroup file system but takes any file)."""
    if not set(CONTROLLERS) <= set((root / "cgroup.controllers").read_text().split()):
        raise FileNotFoundError("controllers")
    wanted = "+memory +cpu +pids"
    (root / "cgroup.subtree_control").write_text(wanted)
    folder = root / group
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.subtree_control").write_text(wanted)
    return tried(CgroupLimiter("cgroup-v2", {"unified": folder}), folder)


def try_v1(group: str, root: Path) -> CgroupLimiter:
    """Make a folder in each v1 hierarchy, or raise OSError."""
    roots = {controller: root / controller / group for controller in CONTROLLERS}
    for controller, folder in roots.items():
        if not (root / controller / "cgroup.procs").exists():
            raise FileNotFoundError(controller)
        folder.mkdir(exist_ok=True)
    return tried(CgroupLimiter("cgroup-v1", roots), *roots.values())


def tried(limiter: CgroupLimiter, *groups: Path) -> CgroupLimiter:
    """Claim the groups and return the limiter if it can make a cage, or raise OSError."""
    for group in groups:
        limiter.claims.append(claim_soon(group))
    limiter.make_cage("probe", Limits(memory_mb=64, cpus=1)).remove()
    return limiter


def session_pids(session: int) -> set[int]:
    """Return the live processes of a session (the field after the closing bracket of the name, fourth on)."""
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    found.add(int(entry.name))
    return found


def memory_of(pid: int) -> int:
    """Return a process's proportional share of memory in bytes (shared pages of forked workers count once in all)."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def total_memory_mb() -> int:
    """Return the machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEGABYTE


def available_memory_mb() -> int:
    """Return the memory that new processes can have without swapping."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    return total_memory_mb()
