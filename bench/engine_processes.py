"""The processes of the engine bench: database, Valkey and object store; the slow cloud; two workers and beat as the product starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from controlplane.embedded.applications import builder_words, inherited_environment, worker_words
from controlplane.embedded.processes import descendants
from tests.servers import Servers

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
TICKS = os.sysconf("SC_CLK_TCK")
# As many threads as a worker has in the product by default.
CONCURRENCY = "4"


@dataclass
class Engine:
    """What runs. `environment` are the settings of the workers; `names` are the processes in the order of their start."""

    folder: Path
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def socket(self) -> str:
        """Return the address of the cloud."""
        return self.environment["BENCH_CLOUD"]

    def start(self, name: str, *words: str, says: str = "") -> None:
        """Start a process; return once its log has the words that it says when it is ready."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words], cwd=ROOT, env=self.environment, stdout=file, stderr=file, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while says not in log.read_text(errors="replace"):
            if self.processes[name].poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} did not start:\n{log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)

    def start_cloud(self) -> None:
        """Start the cloud; it answers once its socket is there."""
        self.start("cloud", "-m", "bench.slow_cloud", self.socket)
        while not Path(self.socket).exists():
            time.sleep(0.02)

    def start_workers(self, count: int = 2) -> None:
        """Start the workers, then beat."""
        for number in range(1, count + 1):
            words = worker_words(concurrency=CONCURRENCY)
            words[words.index("controlplane")] = "bench.engine_app"
            words[words.index("slipway@%h")] = f"bench{number}@%h"
            self.start(f"worker{number}", *words, says=" ready.")
        words = builder_words(concurrency="2")
        words[words.index("controlplane")] = "bench.engine_app"
        self.start("builder", *words, says=" ready.")
        beat = ["-m", "celery", "-A", "bench.engine_app", "beat", "--schedule", str(self.folder / "beat"), "--pidfile=", "-l", "INFO"]
        self.start("beat", *beat)

    def cpu_seconds(self) -> float:
        """Return the processor time that workers and beat have taken so far."""
        return sum(cpu_of(process.pid) for name, process in self.processes.items() if name != "cloud")

    def stop(self) -> None:
        """End them all."""
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.processes.clear()


def cpu_of(pid: int) -> float:
    """Return user and system seconds of a process and all below it."""
    total = 0
    for one in (pid, *descendants(pid)):
        try:
            text = Path(f"/proc/{one}/stat").read_text()
        except FileNotFoundError:
            continue
        fields = text[text.rindex(")") + 2 :].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


@contextmanager
def engine_servers(folder: Path, **more: str) -> Iterator[Engine]:
    """Start database, Valkey and object store with all tables in them; yield the engine, whose processes end with this and have `more` settings."""
    servers = Servers()
    try:
        settings = servers.settings()
        servers.await_ready()
        engine = Engine(folder, inherited_environment({**settings, "BENCH_CLOUD": str(folder / "cloud.sock"), **more}))
        subprocess.run(
            [sys.executable, "-m", "controlplane.embedded.initialise"],
            cwd=ROOT,
            env=engine.environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        try:
            yield engine
        finally:
            engine.stop()
    finally:
        servers.stop()
