"""Running the installer: no secrets in its environment, its output line by line while it runs, and an end to it whatever it does."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from deployments.errors import BuildFailed

# What the way to the package index may need; nothing else of the worker's environment is handed on, least of all its secrets.
HANDED_ON = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "UV_HTTP_RETRIES",
    "UV_HTTP_TIMEOUT",
)
LOOK_SECONDS = 0.25
LINE_LIMIT = 2000
OUTPUT_LIMIT = 256 * 1024
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class Output:
    """Bytes that come in pieces, as whole lines of text: without colours and without the credentials of addresses."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.on_line = on_line
        self.rest = b""
        self.lines: list[str] = []
        self.size = 0

    def feed(self, data: bytes) -> None:
        """Take some bytes."""
        *whole, self.rest = (self.rest + data).split(b"\n")
        for line in whole:
            self.add(line)
        if len(self.rest) > LINE_LIMIT:
            self.end()

    def end(self) -> None:
        """Take what is left as a line."""
        rest, self.rest = self.rest, b""
        self.add(rest)

    def add(self, raw: bytes) -> None:
        """Keep a line unless it is empty, or too much has been said."""
        line = CREDENTIALS.sub("", COLOURS.sub("", raw.decode("utf-8", "replace"))).rstrip()[:LINE_LIMIT]
        if line and self.size < OUTPUT_LIMIT:
            self.size += len(line)
            self.lines.append(line)
            self.on_line(line)


def run_installer(
    arguments: Sequence[str],
    *,
    folder: Path,
    cache: Path,
    seconds: float,
    secrets: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    tick: Callable[[], None] = lambda: None,
) -> tuple[int, list[str]]:
    """Run it in `folder` and return its exit status and its lines; `tick` is called about each 250 ms meanwhile.

    `secrets` go into its environment: others on this machine can read command lines.

    Raises BuildFailed (TIMEOUT) after `seconds`; it and all that it started are killed then, and as well when `tick` raises.
    """
    handed_on = {name: os.environ[name] for name in HANDED_ON if name in os.environ} | dict(secrets or {})
    command = [find_uv_bin(), *arguments, "--no-config", "--no-python-downloads", "--cache-dir", str(cache)]
    return run_program(
        command, folder=folder, seconds=seconds, environment={"UV_NO_PROGRESS": "1", **handed_on}, on_line=on_line, tick=tick
    )


def run_program(
    command: Sequence[str],
    *,
    folder: Path,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    memory: int = 0,
    on_line: Callable[[str], None] = lambda line: None,
    tick: Callable[[], None] = lambda: None,
) -> tuple[int, list[str]]:
    """Run a program in `folder` with next to no environment, and with `memory` bytes of address space at most (0 = no limit).

    Returns and raises as `run_installer`.
    """
    plain = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8", "NO_COLOR": "1"}
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, cwd=folder, env={**plain, **(environment or {})}, start_new_session=True, **streams)
    try:
        if memory:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_AS, (memory, memory))
        return read_all(process, seconds, on_line, tick)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout:
            process.stdout.close()


def read_all(
    process: subprocess.Popen[bytes], seconds: float, on_line: Callable[[str], None], tick: Callable[[], None]
) -> tuple[int, list[str]]:
    """Read until the end of the output, then take the exit status."""
    output = Output(on_line)
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
        while True:
            if selector.select(LOOK_SECONDS):
                data = os.read(process.stdout.fileno(), 65_536)  # type: ignore[union-attr]
                if not data:
                    break
                output.feed(data)
            tick()
            if time.monotonic() > deadline:
                raise BuildFailed(
                    "TIMEOUT", f"The requirements of the plugins were not resolved and installed within {seconds:.0f} seconds."
                )
    output.end()
    return process.wait(), output.lines
