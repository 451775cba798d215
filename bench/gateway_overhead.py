"""What the gateway costs: time added to a runtime call, and no-op runs a second beside litserve doing nothing.

`python -m bench.gateway_overhead`. A run through the gateway is two requests, durably accepted in Valkey and charged; a litserve request is one, kept
nowhere. Both are measured in turns in the same process, medians of the rounds; on a shared machine trust the ratios.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench.load import Load, Script, measure
from bench.report import Figure, print_figures
from controlplane.common.ids import uuid7
from tests.gateway.servers import GatewayServer, Keyring, RuntimeServer, ValkeyServer, running, write_route
from tests.servers import Servers

ROOT = Path(__file__).resolve().parent.parent
LITSERVE_PYTHON = ROOT / ".venvs" / "bench" / "bin" / "python"
ROUNDS = 5
SECONDS = 2.0
CONNECTIONS = (1, 8, 32)
NO_OP = b'{"inputs":[],"outputs":[],"parameters":[]}'
IMAGE = b'{"inputs":[{"image":"' + b"x" * 180_000 + b'"},{"size":180000}],"outputs":[],"parameters":[]}'


def put_and_get(token: str, body: bytes) -> Script:
    """A run as the clients make it: PUT, then one long GET."""
    shared = b"host: gateway\r\nauthorization: Bearer %b\r\n" % token.encode()
    put = b"PUT /blur/api/run?advice=true HTTP/1.1\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        shared,
        len(body),
        body,
    )
    got = True

    def following(answer: bytes | None) -> tuple[bytes, bool]:
        nonlocal got
        if answer is None or not got:
            got = True
            return put, answer is not None
        got = False
        return b"GET /blur/api/results/%b?advice=true&long=true HTTP/1.1\r\n%b\r\n" % (answer[9:45], shared), False

    return following


def direct_call(body: bytes) -> Script:
    """The same call straight to the runtime."""

    def following(answer: bytes | None) -> tuple[bytes, bool]:
        head = b"PUT /runs/%b HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        return head % (str(uuid7()).encode(), len(body)) + body, answer is not None

    return following


def litserve_call() -> Script:
    """One request to litserve."""
    request = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(NO_OP), NO_OP)
    return lambda answer: (request, answer is not None)


class Litserve:
    """litserve in its own environment; stopped while the gateway is measured, so that it takes no processor time."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [str(LITSERVE_PYTHON), str(ROOT / "bench" / "litserve_no_op.py"), str(self.port), *sys.argv[1:]]
        with (folder / "litserve.log").open("wb") as log:
            self.child = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder)
        self._wait_for_answer()

    def _wait_for_answer(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as probe:
                    probe.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    if probe.recv(64).startswith(b"HTTP/1.1 200"):
                        return
            except OSError:
                pass
            time.sleep(0.1)
        raise RuntimeError("litserve did not start")

    def signal(self, number: int) -> None:
        os.killpg(self.child.pid, number)

    @contextmanager
    def awake(self) -> Iterator[None]:
        self.signal(signal.SIGCONT)
        yield
        self.signal(signal.SIGSTOP)

    def close(self) -> None:
        self.signal(signal.SIGKILL)
        self.child.wait()


def middle(loads: list[Load], value: str) -> float:
    """Return the median over the rounds of `rate` or of the median latency."""
    return statistics.median(load.rate if value == "rate" else load.median_ms() for load in loads)


async def overhead(gateway: GatewayServer, runtime: RuntimeServer, token: str) -> list[Figure]:
    """Time added to a runtime call, for a no-op and for an image in and out."""
    figures = []
    for name, body in (("no-op", NO_OP), ("180 KB in and out", IMAGE)):
        direct, through = [], []
        for _ in range(ROUNDS):
            direct.append(await measure(lambda body=body: direct_call(body), connections=1, seconds=1.0, path=str(runtime.socket)))  # type: ignore[misc]
            through.append(await measure(lambda body=body: put_and_get(token, body), connections=1, seconds=1.0, port=gateway.port))  # type: ignore[misc]
        added = middle(through, "latency") - middle(direct, "latency")
        remark = f"{middle(direct, 'latency'):.2f} direct, {middle(through, 'latency'):.2f} through it"
        figures.append(Figure(f"gateway: added to a runtime call, {name}", added, "ms", 1.0, remark))
    return figures


async def throughput(gateway: GatewayServer, litserve: Litserve, token: str) -> list[Figure]:
    """No-op runs a second, the goal being litserve's requests a second in the same run."""
    figures = []
    for connections in CONNECTIONS:
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(await measure(lambda: put_and_get(token, NO_OP), connections=connections, seconds=SECONDS, port=gateway.port))
            with litserve.awake():
                theirs.append(await measure(litserve_call, connections=connections, seconds=SECONDS, port=litserve.port))
        rate, goal = middle(ours, "rate"), middle(theirs, "rate")
        remark = f"{rate / goal:.1f} times litserve's requests; p50 {middle(ours, 'p50'):.2f} ms to {middle(theirs, 'p50'):.2f} ms"
        figures.append(Figure(f"gateway: no-op runs, {connections} connections", rate, "/s", round(goal), remark, higher_is_better=True))
    return figures


@contextmanager
def whole_service() -> Iterator[dict[str, str]]:
    """Give the gateway a real database and object store, as it has in the service; return their settings."""
    servers = Servers()
    try:
        settings = servers.settings()
        servers.await_ready()
        names = [name for name in settings if name.startswith(("S3_", "DATABASE_", "SECRET_", "FIELD_"))]
        yield {name: settings[name] for name in names} | {"GATEWAY_STANDALONE": "", "DJANGO_SETTINGS_MODULE": "controlplane.settings"}
    finally:
        servers.stop()


def main() -> None:
    """Start everything, measure, print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        valkey, runtime, keys = ValkeyServer(folder), RuntimeServer(folder), Keyring(folder / "jwks.json")
        runtime.command = [part for part in runtime.command if part not in {"--journal", str(runtime.journal)}]
        with whole_service() as settings, running(valkey, runtime, gateway := GatewayServer(folder, valkey, keys, **settings)):
            write_route(valkey, runtime)
            token = keys.token()
            litserve = Litserve(folder)
            try:
                litserve.signal(signal.SIGSTOP)
                figures = uvloop.run(overhead(gateway, runtime, token))
                figures += uvloop.run(throughput(gateway, litserve, token))
            finally:
                litserve.close()
    print_figures(figures)


if __name__ == "__main__":
    main()
