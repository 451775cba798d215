"""The template process: imports the engine and loads the workflow once, then forks a worker whenever it is told to.

It runs nothing itself, so it has no engine threads and a fork of it is safe. It dies with the HTTP process and its workers
die with it, whatever kills them: each asks the kernel for SIGKILL at its parent's death, and then looks whether that death
came first.
"""

import argparse
import contextlib
import os
import resource
import selectors
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.engine.parent_death import die_with_parent
from runtime.wire import Exited, FrameBuffer, Kill, Loaded, Spawn, StartFailed, TemplateOrder, send_frame

if TYPE_CHECKING:
    from runtime.engine.runner import WorkflowRunner

_orders = msgspec.msgpack.Decoder(TemplateOrder)

MEGABYTE = 1024 * 1024


def main(arguments: list[str]) -> None:
    """Entry point; the HTTP process passes its end of the control socket as a descriptor."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--memory-mb", type=int, default=None)
    given = parser.parse_args(arguments)
    die_with_parent(given.parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    os.set_inheritable(given.control, False)
    control = socket.socket(fileno=given.control)
    try:
        runner = _load(given.bundle)
    except BaseException:
        send_frame(control, StartFailed(traceback.format_exc()))
        return
    send_frame(control, Loaded(runner.facts()))
    Template(control, runner, given.memory_mb).serve()


def _load(bundle: Path) -> "WorkflowRunner":
    """Imported here, so that a missing system library is reported like any other failure to load."""
    from runtime.engine.loading import load_workflow
    from runtime.engine.runner import WorkflowRunner

    return WorkflowRunner(load_workflow(bundle), bundle)


def _ignore(number: int, stack: object) -> None:
    """A signal to the whole process group is the HTTP process's to handle. Not SIG_IGN: plugins' programs would inherit that."""


class Template:
    """Waits for orders and for the deaths of workers."""

    def __init__(self, control: socket.socket, runner: "WorkflowRunner", memory_mb: int | None) -> None:
        self._control = control
        self._runner = runner
        self._memory_mb = memory_mb
        self._frames = FrameBuffer()
        self._descriptors: list[int] = []
        self._workers: dict[int, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Until the HTTP process closes the control socket."""
        selector = selectors.DefaultSelector()
        selector.register(self._control, selectors.EVENT_READ)
        selector.register(self._wake_read, selectors.EVENT_READ)
        with contextlib.suppress(OSError):
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._wake_read in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, 4096)
                    self._reap()
                if self._control.fileno() in ready and not self._take_orders():
                    return

    def _take_orders(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, 65_536, 8)
        if not data:
            return False
        self._descriptors += descriptors
        for body in self._frames.feed(data):
            order = _orders.decode(body)
            if isinstance(order, Spawn):
                connection, output = self._descriptors.pop(0), self._descriptors.pop(0)
                self._fork(order.worker, connection, output)
            elif isinstance(order, Kill):
                self._kill(order.worker)
        return True

    def _fork(self, worker: int, connection: int, output: int) -> None:
        """Signals wait during the fork, so that the child never runs this process's handlers."""
        parent = os.getpid()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pid = os.fork()
        if pid == 0:
            try:
                self._become_worker(parent, connection, output, blocked)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(connection)
        os.close(output)
        self._workers[pid] = worker

    def _become_worker(self, parent: int, connection: int, output: int, blocked: set[int | signal.Signals]) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        die_with_parent(parent)
        self._control.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.set_inheritable(connection, False)
        if self._memory_mb is not None:
            limit = self._memory_mb * MEGABYTE
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        from runtime.engine.worker import serve_runs

        serve_runs(socket.socket(fileno=connection), self._runner)

    def _kill(self, worker: int) -> None:
        """A worker that is in the table has not been waited for, so its process id is still its own."""
        for pid, number in self._workers.items():
            if number == worker:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid in self._workers:
                send_frame(self._control, Exited(self._workers.pop(pid), status))


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)
