"""What the supervisor knows about one long-running process."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# A probe gets the process id and says whether the process answers now.
Probe = Callable[[int], bool]


def alive(_pid: int) -> bool:
    """The probe of a process that has no other sign of life than that it runs."""
    return True


@dataclass(frozen=True)
class Program:
    """A command with all that it needs to run: environment, folder, and the user to switch to (None: stay)."""

    name: str
    command: Sequence[str | os.PathLike[str]]
    environment: Mapping[str, str]
    folder: Path
    user: int | None = None
    group: int | None = None
    death_signal: signal.Signals = signal.SIGTERM


# Runs a program to its end; raises StepFailed when it fails.
RunStep = Callable[[Program], None]


@dataclass(frozen=True)
class Service(Program):
    """A program that keeps running. `setup` runs before its first start of a session and may run programs (make a database cluster)."""

    address: str = ""
    litter: Sequence[Path] = ()  # files outside the data folder, which the program leaves behind
    probe: Probe = alive
    setup: Callable[[RunStep], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    start_seconds: float = 60.0
