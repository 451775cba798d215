"""A runtime without an engine: speaks the runtime's HTTP on a unix socket, and does what the inputs of a run tell it to.

`python -m tests.fakes.runtime --socket PATH --journal PATH`. Inputs that steer it (all others are ignored):
`{"hold": "name"}` ends when `PUT /control/release/name` came (or had come before), `{"refuse": "why"}` is refused with 422, `{"fail": "why"}`
ends in FAILURE (with `{"code": "x"}` as the code), `{"silent": 1}` gets no receipt before its end, `{"size": n}` gives a result of n bytes,
`{"work_ms": n}` keeps one of the workers (`--workers`) busy so long. `PUT /control/busy` makes it refuse everything with 503, `PUT /control/ready`
ends that, `PUT /control/drain` makes it refuse new runs for good and end when it has none left.
Each execution is a line `<run id>` in the journal, which outlives a `kill -9`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import httptools
import uvloop

RUN = re.compile(r"/runs/([0-9a-f-]{36})(/input)?")
WORKFLOW = {"metadata": {"name": "fake"}, "tasks": [], "connections": []}
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n \r\n"
NO_OP = b'{"inputs":[],"outputs":[],"parameters":[]}'


@dataclass
class FakeRun:
    body: bytes
    answer: bytes | None = None
    waiting: list[Connection] = field(default_factory=list)


class Runtime:
    def __init__(self, journal: Path | None, workers: int = 1) -> None:
        self.journal = None if journal is None else os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.runs: dict[str, FakeRun] = {}
        self.released: set[str] = set()
        self.held: dict[str, list[tuple[str, FakeRun]]] = {}
        self.tokens: dict[str, str] = {}
        self.busy = False
        self.draining = False
        self.over = asyncio.Event()
        self.workers = workers
        self.queue: deque[tuple[str, FakeRun, dict[str, object]]] = deque()

    def execute(self, run_id: str, run: FakeRun) -> None:
        if self.journal is not None:
            os.write(self.journal, f"{run_id}\n".encode())
        if run.body == NO_OP:
            self.end(run_id, run, {})
            return
        steer: dict[str, object] = {}
        for one in json.loads(run.body)["inputs"]:
            steer.update(one)
        name = str(steer.get("hold", ""))
        if name and name not in self.released:
            self.held.setdefault(name, []).append((run_id, run))
        elif "work_ms" in steer:
            self.queue.append((run_id, run, steer))
            self.work()
        else:
            self.end(run_id, run, steer)

    def work(self) -> None:
        while self.queue and self.workers:
            self.workers -= 1
            run_id, run, steer = self.queue.popleft()
            asyncio.get_running_loop().call_later(int(str(steer["work_ms"])) / 1000, self.worked, run_id, run, steer)

    def worked(self, run_id: str, run: FakeRun, steer: dict[str, object]) -> None:
        self.workers += 1
        self.end(run_id, run, steer)
        self.work()

    def drain(self) -> None:
        self.draining = True
        self.look_if_over()

    def look_if_over(self) -> None:
        if self.draining and all(run.answer for run in self.runs.values()):
            asyncio.get_running_loop().call_soon(self.over.set)

    def end(self, run_id: str, run: FakeRun, steer: dict[str, object]) -> None:
        head = f'{{"uuid":"{run_id}","duration_ms":{steer.get("work_ms", 1.25)},'.encode()
        if "fail" in steer:
            error = json.dumps({"code": steer.get("code", "task_failed"), "message": steer["fail"], "task": "fake"}).encode()
            run.answer = head + b'"state":"FAILURE","error":%b}' % error
        elif "size" in steer:
            run.answer = head + b'"state":"SUCCESS","results":[{"data":"%b"}]}' % (b"x" * int(str(steer["size"])))
        else:
            run.answer = head + b'"state":"SUCCESS","results":[{"echo":%d}]}' % len(run.body)
        waiting, run.waiting = run.waiting, []
        for connection in waiting:
            connection.end(run.answer)
        self.look_if_over()

    def release(self, name: str) -> None:
        self.released.add(name)
        for run_id, run in self.held.pop(name, []):
            steer: dict[str, object] = {}
            for one in json.loads(run.body)["inputs"]:
                steer.update(one)
            self.end(run_id, run, steer)


class Connection(asyncio.Protocol):
    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.parser = httptools.HttpRequestParser(self)
        self.silent = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.path = self.token = ""
        self.body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self.path += url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-storage-token":
            self.token = value.decode()

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        found = RUN.fullmatch(self.path)
        if self.path.startswith("/control/"):
            self.control(*self.path.split("/")[2:])
        elif self.path == "/workflow":
            self.reply(200, WORKFLOW)
        elif self.path == "/health":
            self.reply(200, {"status": "ready", "workers": 1, "busy": 0, "queued": 0})
        elif found and method == "PUT":
            self.put(found[1], b"".join(self.body))
        elif found:
            self.get(found[1], bool(found[2]))
        else:
            self.reply(404, {"code": "path_unknown", "detail": self.path})

    def control(self, what: str, name: str = "") -> None:
        if what == "release":
            self.runtime.release(name)
        elif what == "forget":
            self.runtime.runs.pop(name, None)
        elif what == "tokens":
            self.reply(200, self.runtime.tokens)
            return
        elif what == "drain":
            self.runtime.drain()
        else:
            self.runtime.busy = what == "busy"
        self.reply(200, {})

    def put(self, run_id: str, body: bytes) -> None:
        runtime = self.runtime
        run = runtime.runs.get(run_id)
        if run is None:
            if runtime.draining:
                self.reply(503, {"code": "draining", "detail": "this replica is stopping"}, b"retry-after: 1\r\n")
                return
            if runtime.busy:
                self.reply(503, {"code": "busy", "detail": "The queue is full."}, b"retry-after: 1\r\n")
                return
            if body != NO_OP:
                try:
                    inputs = json.loads(body)["inputs"]
                except ValueError:
                    self.reply(400, {"code": "invalid_json", "detail": "The body is not JSON."})
                    return
                for one in inputs:
                    if "refuse" in one:
                        self.reply(422, {"code": "unknown_task", "detail": one["refuse"]})
                        return
            run = runtime.runs[run_id] = FakeRun(body)
            if self.token:
                runtime.tokens[run_id] = self.token
            runtime.execute(run_id, run)
        self.follow(run)

    def get(self, run_id: str, only_input: bool) -> None:
        run = self.runtime.runs.get(run_id)
        if run is None:
            self.reply(404, {"code": "run_unknown", "detail": "No such run."})
        elif only_input:
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(run.body), run.body)
            )
        else:
            self.follow(run)

    def follow(self, run: FakeRun) -> None:
        if run.answer is None:
            self.silent = b'"silent"' in run.body
            if not self.silent:
                self.transport.write(HEAD)
            run.waiting.append(self)
        else:
            self.transport.write(HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(run.answer), run.answer))

    def end(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            if self.silent:
                self.transport.write(HEAD)
            self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(answer), answer))

    def reply(self, status: int, content: object, extra: bytes = b"") -> None:
        body = json.dumps(content).encode()
        head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n" % (status, extra, len(body))
        self.transport.write(head + body)


async def serve(path: Path, journal: Path | None, forget_after: int, workers: int) -> None:
    runtime = Runtime(journal, workers)
    server = await asyncio.get_running_loop().create_unix_server(lambda: Connection(runtime), str(path))
    print("ready", flush=True)
    while not runtime.over.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runtime.over.wait(), 1)
        # A benchmark leaves hundreds of thousands of runs behind: keep the newest ones only.
        while len(runtime.runs) > forget_after:
            runtime.runs.pop(next(iter(runtime.runs)))
    # Not `async with`: that would wait until the gateways close their kept connections.
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--forget-after", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    options.socket.unlink(missing_ok=True)
    uvloop.run(serve(options.socket, options.journal, options.forget_after, options.workers))


if __name__ == "__main__":
    main()
