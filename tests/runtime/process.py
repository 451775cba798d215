"""A real runtime process and a client for its socket."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = Path(__file__).parent / "workflows"
EXAMPLES = ROOT / "controlplane/projects/examples"
PYTHON = ROOT / "runtime/.venv/bin/python"
PATIENCE = 60.0
STORAGE_TOKEN = "token-of-the-caller"


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("runtime", timeout=PATIENCE)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket file instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def make_bundle(workflow: Path, bundle: Path) -> Path:
    """Lay an archive's folder out as the runtime wants it."""
    (bundle / "plugins/Python").mkdir(parents=True)
    for entry in workflow.iterdir():
        if entry.is_dir():
            shutil.copytree(entry, bundle / "plugins/Python" / entry.name)
        else:
            shutil.copy(entry, bundle / entry.name)
    return bundle


def find_workflow(name: str) -> Path:
    """An example workflow, or one that only tests use."""
    example = EXAMPLES / name
    return example if example.is_dir() else WORKFLOWS / name


def image_input(path: Path) -> dict[str, str]:
    """An input with the picture's bytes."""
    return {"image": base64.b64encode(path.read_bytes()).decode()}


def wait_until_gone(pids: Iterable[int]) -> None:
    """Wait until these processes (children of others) have ended."""
    deadline = time.monotonic() + PATIENCE
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"process {pid} is still alive"
        finally:
            os.close(descriptor)


def children_of(pid: int) -> list[int]:
    """Process ids of the direct children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class RuntimeProcess:
    """`python -m runtime` for one workflow. `log` holds its lines as they arrive."""

    def __init__(self, folder: Path, bundle: Path, *arguments: str) -> None:
        self.socket = folder / "runtime.sock"
        self.log: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self.home = home = folder / "home"
        home.mkdir(exist_ok=True)
        command = [str(PYTHON), "-m", "runtime", "--bundle", str(bundle), "--socket", str(self.socket), *arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), "IKOMIA_TOKEN": "must not be seen"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd="/")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.log.append(json.loads(line))
                self._changed.notify_all()

    def wait_for_log(self, text: str, *, run: str | None = None, count: int = 1) -> list[dict[str, Any]]:
        """Wait until `count` lines hold the text (of that run); gives them."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.log if text in line["message"] and (run is None or line.get("run") == run)]

        with self._changed:
            assert self._changed.wait_for(lambda: len(found()) >= count, PATIENCE), f"{text!r} not in {self.log}"
            return found()

    def wait_until_ready(self, workers: int = 1) -> RuntimeProcess:
        """Wait until that many workers have started."""
        self.wait_for_log("is ready", count=workers)
        return self

    @property
    def template(self) -> int:
        """Process id of the template."""
        (pid,) = children_of(self.process.pid)
        return pid

    def workers(self) -> list[int]:
        """Process ids of the engine workers."""
        return children_of(self.template)

    def connect(self) -> SocketConnection:
        """A new connection; the caller closes it."""
        return SocketConnection(self.socket)

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of one request; `body` is bytes or something for JSON."""
        connection = self.connect()
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body)
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def put_run(self, body: Any, run: str | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of PUT /runs/{run}."""
        return self.request("PUT", f"/runs/{run or uuid.uuid4()}", body, headers)

    def run(self, body: Any, run: str | None = None) -> dict[str, Any]:
        """A run that was accepted, at its end."""
        status, answer = self.put_run(body, run)
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer

    def stored_run(self, inputs: list[Any], task: str, run: str | None = None, **ask: Any) -> dict[str, Any]:
        """A run with a token for storage, at its end: `ask` is more about the one output, `parameters` go to the task."""
        parameters = [{"task_name": task, "parameters": ask.pop("parameters", {})}]
        body = {"inputs": inputs, "outputs": [{"task_name": task, **ask}], "parameters": parameters}
        status, answer = self.put_run(body, run, {"X-Storage-Token": STORAGE_TOKEN})
        assert status == 200, answer
        assert isinstance(answer, dict)
        assert self.leftovers() == []
        return answer

    def stored_results(self, inputs: list[Any], task: str, **ask: Any) -> list[dict[str, Any]]:
        """The results of such a run, which succeeds."""
        answer = self.stored_run(inputs, task, **ask)
        assert answer["state"] == "SUCCESS", answer
        results: list[dict[str, Any]] = answer["results"]
        return results

    def leftovers(self) -> list[Path]:
        """What lies in the folders of runs."""
        return [path for folder in self.home.glob("runtime-*") for path in folder.iterdir() if path.name != "lock"]

    def results(self, body: Any) -> list[dict[str, Any]]:
        """The results of a run that succeeds."""
        answer = self.run(body)
        assert answer["state"] == "SUCCESS", answer
        results: list[dict[str, Any]] = answer["results"]
        return results

    def start_in_background(self, body: Any, run: str, headers: dict[str, str] | None = None) -> Callable[[], tuple[int, Any]]:
        """Send a run from a thread; call the result to wait for its answer (there is none when the runtime dies)."""
        answers: list[tuple[int, Any]] = []

        def send() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                answers.append(self.put_run(body, run, headers))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()

        def wait() -> tuple[int, Any]:
            thread.join(PATIENCE)
            return answers[0]

        return wait

    def stop(self) -> int:
        """SIGTERM and wait for the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for the exit code and the end of the log."""
        try:
            code = self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self._reader.join(PATIENCE)
            if self.process.stdout is not None:
                self.process.stdout.close()
        return code
