"""The supervisor's only way to wait: until time passes, a child ends, a stop is asked for, or the front process is gone."""

import os
import select
import signal
import socket
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Waiter:
    """Turns signals and the end of a pipe into flags. One for a process, made in its main thread."""

    def __init__(self, lifeline: int | None) -> None:
        """`lifeline` is the read end of a pipe that the front process holds open as long as it lives."""
        self.stop_requested = False
        self.hurry = False
        self.abandoned = False
        self._lifeline = lifeline
        self._wake, wake_end = socket.socketpair()
        self._wake_end = wake_end
        for end in (self._wake, wake_end):
            end.setblocking(False)
        signal.set_wakeup_fd(wake_end.fileno(), warn_on_full_buffer=False)
        for number in STOPPING:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        # Blocked since before the fork, so that none was lost.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.hurry = self.stop_requested
        self.stop_requested = True

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or earlier when something has happened."""
        watched = [self._wake.fileno()] + ([self._lifeline] if self._lifeline is not None else [])
        readable, _, _ = select.select(watched, [], [], max(0.0, seconds))
        if self._wake.fileno() in readable:
            self._wake.recv(4096)
        if self._lifeline is not None and self._lifeline in readable and not os.read(self._lifeline, 1):
            self._lifeline = None
            self.abandoned = self.stop_requested = True

    def close(self) -> None:
        """Give the signals' wake-up back."""
        signal.set_wakeup_fd(-1)
        self._wake.close()
        self._wake_end.close()
