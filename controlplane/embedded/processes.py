"""What the system knows about processes (Linux /proc): who is alive, whose session, whose descendant; and how to end them all."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class ProcessInfo:
    """One row of the process table; `started` is in clock ticks since boot and tells a reused pid from the first owner."""

    pid: int
    state: str
    parent: int
    session: int
    started: int


def process_info(pid: int) -> ProcessInfo | None:
    """None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return ProcessInfo(pid=pid, state=fields[0], parent=int(fields[1]), session=int(fields[3]), started=int(fields[19]))


def process_table() -> list[ProcessInfo]:
    """All processes that can be seen, without those that have ended and only wait to be collected."""
    rows = (process_info(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [row for row in rows if row is not None and row.state not in "ZX"]


def is_alive(pid: int) -> bool:
    """Whether the process runs (an ended one that waits to be collected does not)."""
    row = process_info(pid)
    return row is not None and row.state not in "ZX"


def session_members(session: int) -> list[int]:
    """Pids of the processes of a session, whatever has become of its leader."""
    return [row.pid for row in process_table() if row.session == session]


def descendants(root: int) -> list[int]:
    """Pids of all processes below `root`."""
    children: dict[int, list[int]] = {}
    for row in process_table():
        children.setdefault(row.parent, []).append(row.pid)
    found: list[int] = []
    queue = list(children.get(root, []))
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue.extend(children.get(pid, []))
    return found


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send the signal to each that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that nothing we started gets out of sight."""
    if _libc is not None:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """Ask the system for this signal when the parent's thread ends; for use between fork and exec."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def collect(pid: int = -1) -> bool:
    """Collect one ended child; False when none has ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def ended_child() -> int | None:
    """Pid of a child that has ended and is not yet collected."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def end_descendants(*, grace: float, deadline: float = 10.0) -> None:
    """Wait `grace` seconds for everything below this process to end, then kill what is left until nothing is."""
    start = time.monotonic()
    while time.monotonic() - start < deadline:
        while collect():
            pass
        left = descendants(os.getpid())
        if not left:
            return
        if time.monotonic() - start >= grace:
            signal_all(left, signal.SIGKILL)
        time.sleep(0.02)
