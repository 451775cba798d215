"""The processes of one deployment of the local driver, found below its agent whatever sandbox is in between."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from controlplane.embedded.processes import descendants, process_info

RUNTIME, TEMPLATE = b"runtime", b"runtime.engine.template"


def module_of(pid: int) -> bytes:
    """Return which module a `python -m` process runs; empty for every other process."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return b""
    return words[2] if words[1:2] == [b"-m"] else b""


def find_runtime(agent: int, socket: Path) -> int:
    """Return the process that answers on this socket."""
    [found] = [
        pid
        for pid in descendants(agent)
        if module_of(pid) == RUNTIME and str(socket).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    ]
    return found


def find_workers(runtime: int) -> list[int]:
    """Return the engine workers of a runtime: the forks of its template process."""
    below = {pid: info.parent for pid in descendants(runtime) if module_of(pid) == TEMPLATE and (info := process_info(pid))}
    return [pid for pid, parent in below.items() if parent in below]


def kill(*pids: int) -> None:
    """SIGKILL."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
