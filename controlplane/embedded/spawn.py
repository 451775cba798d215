"""Starting a program: its own session, its own log file, and a death signal for when the supervisor is gone."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from controlplane.embedded.processes import die_with_parent
from controlplane.embedded.service import Program

LOG_LIMIT_BYTES = 10 * 1024 * 1024
TAIL_LINES = 15
START_MARK = "--- started by the supervisor\n"


def log_path(logs: Path, name: str) -> Path:
    """Where a program's output goes."""
    return logs / f"{name}.log"


def spawn(program: Program, logs: Path) -> "subprocess.Popen[bytes]":
    """Start it. Must be called from the main thread: the death signal follows the thread that forks."""
    path = log_path(logs, program.name)
    rotate(path)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        log.write(START_MARK.encode())
        log.flush()
        return subprocess.Popen(
            [os.fspath(word) for word in program.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(program.environment),
            cwd=program.folder,
            user=program.user,
            group=program.group,
            extra_groups=None if program.group is None else [program.group],
            start_new_session=True,
            preexec_fn=_between_fork_and_exec(program.death_signal),  # noqa: PLW1509 - the supervisor has one thread only
        )


def _between_fork_and_exec(death_signal: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()

    def prepare() -> None:
        die_with_parent(death_signal, parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    return prepare


def rotate(path: Path, limit: int = LOG_LIMIT_BYTES) -> None:
    """Keep one older file once a log has grown past the limit."""
    if path.exists() and path.stat().st_size > limit:
        path.replace(path.with_name(path.name + ".1"))


def since_start(path: Path) -> str:
    """What the latest start has written (of a long text the end); empty when there is no log."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64 * 1024))
        return file.read().decode(errors="replace").rpartition(START_MARK)[2]


def tail(path: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last lines that the latest start has written."""
    return since_start(path).splitlines()[-lines:]
