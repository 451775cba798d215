"""Messages between the HTTP process, the template process and the engine workers.

All travel as frames (4 bytes of length, little endian, then msgpack) over socket pairs of their own: never over
standard output, into which the engine prints.
"""

import socket
from typing import TypeVar

import msgspec

HEADER = 4

Message = TypeVar("Message")


class JobInput(msgspec.Struct, array_like=True):
    """One input: an encoded image (`type` IMAGE), a video, a file, a folder, or the JSON of another type.

    It lies in `data`, or in the file or folder `path` when it came from storage.
    """

    type: str
    data: bytes = b""
    path: str | None = None


class JobOutput(msgspec.Struct, array_like=True):
    """One asked output: the task's position in workflow.json; every output of it when `index` is None. `save`: as a file."""

    task: int
    index: int | None
    save: bool = False


class Job(msgspec.Struct, array_like=True):
    """One run as a worker gets it. `parameters` are the overrides by task position, `folder` is where it may write files."""

    run: str
    inputs: list[JobInput]
    outputs: list[JobOutput]
    parameters: dict[int, dict[str, str]]
    folder: str | None = None


class Failure(msgspec.Struct, omit_defaults=True):
    """Why a run failed, as the caller sees it."""

    code: str
    message: str
    task: str | None = None
    traceback: str | None = None


class SavedFile(msgspec.Struct, array_like=True):
    """A result that lies in a file of the run's folder; `position` is its place in the list of results."""

    position: int
    path: str
    data_type: str
    content_type: str
    is_archive: bool = False


class Outcome(msgspec.Struct, array_like=True):
    """A worker's answer: `results` is the finished JSON list, or `error` says what went wrong.

    In the places of the results that are `saved` as files the list has null.
    """

    run: str
    duration_ms: float
    results: bytes | None
    error: Failure | None
    saved: list[SavedFile] = []


class Ready(msgspec.Struct, tag="ready"):
    """A worker takes runs from now on."""

    pid: int


class StartFailed(msgspec.Struct, tag="failed"):
    """The workflow could not be loaded or initialised; `detail` holds the traceback."""

    detail: str


class TaskFacts(msgspec.Struct, array_like=True):
    """What the engine says about one loaded task."""

    parameters: list[str]
    inputs: list[str]
    outputs: list[str]


class Loaded(msgspec.Struct, tag="loaded"):
    """The template has loaded the workflow; tasks in the order of workflow.json."""

    tasks: list[TaskFacts]


class Exited(msgspec.Struct, tag="exited"):
    """A worker ended; `status` is what waitpid gave."""

    worker: int
    status: int


class Spawn(msgspec.Struct, tag="spawn"):
    """Fork a worker. Two descriptors come along: its end of the run socket and the end that it prints to."""

    worker: int


class Kill(msgspec.Struct, tag="kill"):
    """Kill a worker. Asked of the template, its parent, so that a process id can't have been reused."""

    worker: int


TemplateEvent = Loaded | StartFailed | Exited
TemplateOrder = Spawn | Kill
WorkerMessage = Ready | StartFailed


def frame(message: object) -> bytes:
    """Encode one message with its length in front."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEADER, "little") + body


def send_frame(connection: socket.socket, message: object) -> None:
    """Send one message; blocks until the peer took it."""
    connection.sendall(frame(message))


def receive_frame(connection: socket.socket) -> bytearray | None:
    """Receive one whole message; None when the peer has closed."""
    header = _receive_exactly(connection, HEADER)
    return None if header is None else _receive_exactly(connection, int.from_bytes(header, "little"))


def _receive_exactly(connection: socket.socket, size: int) -> bytearray | None:
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = connection.recv_into(view[done:])
        if count == 0:
            return None
        done += count
    return data


class FrameBuffer:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take received bytes and give back the frames that they complete."""
        self._data += data
        frames: list[bytes] = []
        start = 0
        while len(self._data) - start >= HEADER:
            end = start + HEADER + int.from_bytes(self._data[start : start + HEADER], "little")
            if len(self._data) < end:
                break
            frames.append(bytes(memoryview(self._data)[start + HEADER : end]))
            start = end
        if start:
            del self._data[:start]
        return frames
