"""A real agent as a process of its own, for tests."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.bundles.layer import Source, write_layer
from deployments.providers.base import ProviderUnavailable, ReplicaSpec
from deployments.providers.local.bundle_cache import unpack
from deployments.providers.local.client import LocalProvider
from tests.deployments.builders import archive_of
from tests.deployments.provider_contract import until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "deployments.providers.local.agent"]


@dataclass
class Agent:
    """An agent on a data folder; the folder outlives its processes."""

    data: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def provider(self) -> LocalProvider:
        return LocalProvider(str(self.data / "agent" / "agent.sock"))

    def start(self, **environment: str) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(COMMAND, cwd=ROOT, env=self.environment(**environment), stderr=subprocess.PIPE)
        until(self.names, what="the agent to answer")

    def start_and_fail(self) -> str:
        """Start one that must end by itself with an error; return what it said."""
        done = subprocess.run(COMMAND, cwd=ROOT, env=self.environment(), capture_output=True, timeout=30, check=False)
        assert done.returncode == 1
        return done.stderr.decode()

    def environment(self, **changes: str) -> dict[str, str]:
        """Return this process's environment with the agent's folder."""
        return {**os.environ, "DATA_DIR": str(self.data), "AGENT_SOCKET": str(self.data / "agent" / "agent.sock"), **changes}

    def names(self) -> list[str] | None:
        """Return the replicas, or None while the agent does not answer."""
        assert self.process is not None
        assert self.process.poll() is None, self.process.stderr and self.process.stderr.read().decode()
        try:
            return [state.name for state in self.provider.list_replicas()]
        except ProviderUnavailable:
            return None

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal and wait for the end."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            assert self.process.stderr is not None
            self.process.stderr.close()
            self.process = None

    def store_bundle(self, files: Mapping[str, str | bytes] | None = None, *, task: str = "ocv_blur") -> str:
        """Put a bundle into the agent's cache, as if it had been fetched; return its digest."""
        layer = io.BytesIO()
        digest, _ = write_layer([Source(zipfile.ZipFile(io.BytesIO(archive_of(files, task))))], layer)
        folder = self.data / "agent" / "bundles"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / digest).exists():
            layer.seek(0)
            unpack(layer, digest, folder / digest)
        return digest

    def spec(self, bundle: str, *, name: str = "d1-g1", vcpu: int = 2, ram_mb: int = 8192) -> ReplicaSpec:
        """Return a specification."""
        return ReplicaSpec(name=name, bundle=bundle, vcpu=vcpu, ram_mb=ram_mb, deployment="d1", generation=1, region="FRANCE")

    def processes(self) -> list[int]:
        """Return the live processes that have this agent's folder in their command line, but the agent's own."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if (
                        str(self.data).encode() in (entry / "cmdline").read_bytes()
                        and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                    ):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def runtime(self) -> int:
        """Return the process of the one runtime there is (below whatever sandbox)."""

        def look() -> int | None:
            for pid in self.processes():
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if words[1:3] == [b"-m", b"runtime"]:
                    return pid
            return None

        return until(look, what="a runtime")
