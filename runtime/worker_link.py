"""The HTTP process's side of one engine worker."""

import asyncio
import os
import socket
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, cast

import msgspec

from runtime.log import OutputPipe
from runtime.wire import FrameBuffer, Job, Outcome, WorkerMessage, frame

if TYPE_CHECKING:
    from runtime.pool import PendingRun

_outcomes = msgspec.msgpack.Decoder(Outcome)
_messages = msgspec.msgpack.Decoder(WorkerMessage)


class WorkerState(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DEAD = "dead"


class WorkerLink(asyncio.Protocol):
    """A worker's connection and what it is doing. `pending` is the run in its hands."""

    def __init__(self, number: int, on_start: Callable[["WorkerLink", WorkerMessage], None]) -> None:
        self.number = number
        self.pid: int | None = None
        self.state = WorkerState.STARTING
        self.pending: PendingRun | None = None
        self.last_run: str | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.killed_for: str | None = None
        self.exit_status: int | None = None
        self.closed = False
        self.output: OutputPipe | None = None
        self.on_start = on_start
        self.on_outcome: Callable[[WorkerLink, Outcome], None] | None = None
        self.on_closed: Callable[[WorkerLink], None] | None = None
        self._frames = FrameBuffer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The local end is on the event loop."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass on whole messages: one about the start, then one for each run."""
        for body in self._frames.feed(data):
            if self.state is WorkerState.STARTING:
                self.on_start(self, _messages.decode(body))
            elif self.on_outcome is not None:
                self.on_outcome(self, _outcomes.decode(body))

    def connection_lost(self, error: Exception | None) -> None:
        """The worker has closed or died; everything that it sent has been received."""
        self.closed = True
        if self.on_closed is not None:
            self.on_closed(self)

    def send(self, job: Job) -> None:
        """Give the worker a run."""
        self.last_run = job.run
        if self._transport is not None:
            self._transport.write(frame(job))

    def stop_timer(self) -> None:
        """Forget the deadline, if there is one."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def close(self) -> None:
        """Drop the connection, even where a process that the worker left behind holds the other end."""
        if self._transport is not None:
            self._transport.abort()

    def close_output(self) -> str | None:
        """Stop reading what it prints; gives the stack of a crash if it printed one."""
        if self.output is None:
            return None
        self.output.close()
        return self.output.crash_report()


async def open_link(link: WorkerLink) -> tuple[socket.socket, int]:
    """Put a worker's local ends on the event loop; gives the remote ends: its socket and what it prints to."""
    loop = asyncio.get_running_loop()
    local, remote = socket.socketpair()
    output, remote_output = os.pipe()
    local.setblocking(False)
    link.output = OutputPipe(loop, output, lambda: link.last_run)
    await loop.create_unix_connection(lambda: link, sock=local)
    return remote, remote_output
