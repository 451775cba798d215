"""The whole service for tests: `manage.py dev` on a folder and ports of its own. The fixture `stack` starts it once for a test run."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from controlplane.embedded.datadir import DataDir, temporary_folder
from controlplane.embedded.options import REPOSITORY
from controlplane.embedded.ports import free_port
from controlplane.embedded.processes import die_with_parent, is_alive
from controlplane.embedded.stackfile import read_stack

START_SECONDS, STOP_SECONDS = 120.0, 90.0
# Variables that would replace a server or an address of the stack under test.
SETTINGS = (
    *(
        "DATABASE_URL",
        "REDIS_URL",
        "S3_ENDPOINT_URL",
        "S3_PUBLIC_URL",
        "S3_ACCESS_KEY",
        "S3_SECRET_KEY",
        "S3_BUCKET",
        "SECRET_KEY",
        "FIELD_KEY",
        "INSTALLATION_ID",
    ),
    *(
        "PUBLIC_URL",
        "GATEWAY_URL",
        "ENDPOINT_URL_TEMPLATE",
        "DATA_DIR",
        "AGENT_SOCKET",
        "PORT",
        "GATEWAY_PORT",
        "GATEWAY_HOST",
        "SLIPWAY_NO_SECRETS",
    ),
)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without the settings of the test servers."""
    return {name: value for name, value in os.environ.items() if name not in SETTINGS} | more


def wait_until(condition: Callable[[], object], *, seconds: float, what: str, pause: float = 0.02) -> None:
    """Return once the condition holds; fail the test when it does not within the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)


class Stack:
    """A stack on `folder` (made by it, unless it exists). `flags` and `environment` go to `manage.py dev`; `command` replaces the words before them."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        command: tuple[str, ...] = (sys.executable, "manage.py", "dev"),
    ) -> None:
        self.data = DataDir(folder)
        self.port, self.gateway_port = free_port(), free_port()
        self.url, self.gateway_url = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.gateway_port}"
        self.lines: list[str] = []
        self._ready = threading.Event()
        self._command = [*command, "--data-dir", str(folder), "--port", str(self.port), "--gateway-port", str(self.gateway_port), *flags]
        self._environment = clean_environment(**(environment or {}))
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Stack":
        """Start it and return at once."""
        parent = os.getpid()
        self.process = subprocess.Popen(
            self._command,
            cwd=REPOSITORY,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM, parent),  # noqa: PLW1509 - only system calls between fork and exec
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        return self

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        with process.stdout as lines:
            for line in lines:
                self.lines.append(line.rstrip("\n"))
                if line.startswith("ready"):
                    self._ready.set()
        self._ready.set()

    def wait_ready(self) -> "Stack":
        """Return when the line `ready …` has come; fail with all that was said when it has not."""
        assert self.process
        if not self._ready.wait(START_SECONDS) or not any(line.startswith("ready") for line in self.lines):
            pytest.fail("The stack did not start:\n" + "\n".join(self.lines))
        return self

    @property
    def env(self) -> dict[str, str]:
        """The settings of its processes."""
        settings: dict[str, str] = json.loads(self.data.environment.read_text())
        return settings

    @property
    def description(self) -> dict[str, Any]:
        """run/stack.json as it is now."""
        return read_stack(self.data)

    def pid(self, name: str) -> int:
        """Process id of "gateway", "postgres", …"""
        return int(self.description["processes"][name]["pid"])

    def pids(self) -> dict[str, int]:
        """Process ids of all, by name, in the order of their start."""
        return {name: entry["pid"] for name, entry in self.description["processes"].items()}

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send the signal; returns the process id that it had."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def wait_restarted(self, name: str, old_pid: int, seconds: float = 60.0) -> int:
        """Wait until another process than `old_pid` answers; returns its id."""

        def restarted() -> bool:
            entry = self.description["processes"][name]
            return bool(entry["pid"] != old_pid and entry["state"] == "ready")

        wait_until(restarted, seconds=seconds, what=f"{name} restarted")
        return self.pid(name)

    def manage(self, *words: str) -> str:
        """Output of a management command with the stack's settings."""
        environment = self._environment | self.env
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout

    def log(self, name: str) -> str:
        """All that a process has written."""
        return (self.data.logs / f"{name}.log").read_text(errors="replace")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it; returns the exit status. The data stays."""
        assert self.process
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def wait_ended(self) -> int:
        """Exit status of a stack that ends by itself; all its lines are there then."""
        assert self.process
        status = self.process.wait(START_SECONDS)
        assert self._ready.wait(STOP_SECONDS)
        return status

    def wait_gone(self, pids: Mapping[str, int], seconds: float = 30.0) -> None:
        """Wait until none of the processes runs."""
        wait_until(lambda: not any(map(is_alive, pids.values())), seconds=seconds, what=f"end of {pids}")


@contextlib.contextmanager
def running_stack(**environment: str) -> Generator[Stack]:
    """A stack in a new folder with these settings, ready; stopped and deleted at the end."""
    folder = temporary_folder() / f"slipway-stack-{secrets.token_hex(6)}"
    started = Stack(folder, environment=environment).start()
    try:
        yield started.wait_ready()
    finally:
        started.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def stack() -> Generator[Stack]:
    """The whole service, started once for the test run."""
    with running_stack() as started:
        yield started
