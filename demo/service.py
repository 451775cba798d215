"""The whole service on free ports and a data folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.datadir import temporary_folder

STOP_PATIENCE_S = 40
Step = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True)
class Service:
    """Where the running service answers."""

    url: str


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_service(root: Path, step: Step, **settings: str) -> Iterator[Service]:
    """Start `manage.py dev` on a temporary folder, wait for its ready line, and stop it in the end; `step(title)` tells both.

    `settings` go to its environment.
    """
    port, gateway_port = free_port(), free_port()
    data = Path(tempfile.mkdtemp(prefix="slipway-", dir=temporary_folder()))
    command = [sys.executable, "manage.py", "dev", "--data-dir", str(data), "--port", str(port), "--gateway-port", str(gateway_port)]
    process = subprocess.Popen(
        command,
        cwd=root,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        with step("start the service (PostgreSQL, Valkey, S3, web, gateway, worker)"):
            url = wait_until_ready(process)
        yield Service(url=url)
    finally:
        with step("stop everything"):
            stop(process)
            shutil.rmtree(data, ignore_errors=True)


def wait_until_ready(process: subprocess.Popen[str]) -> str:
    """Read what the service prints until it says where it is ready; fail with its words when it ends instead."""
    seen = []
    assert process.stdout is not None  # noqa: S101 - opened above
    for line in process.stdout:
        seen.append(line)
        if line.startswith("ready "):
            return line.split()[1]
    raise SystemExit("The service did not start. It said:\n" + "".join(seen))


def stop(process: subprocess.Popen[str]) -> None:
    """Interrupt like Ctrl-C; kill what does not end in time."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=STOP_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
