"""What goes wrong when a test says so."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field


@dataclass
class Fault:
    """`times` requests to a path (a regular expression) fail: with a status, or with silence or a closed connection for none.

    With `after` what was asked for is done all the same.
    """

    method: str
    path: str
    status: int | None
    times: int
    after: bool
    silent_seconds: float = 0.0


@dataclass
class Faults:
    """The faults that are still to come."""

    planned: list[Fault] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def fail(self, method: str, path: str, *, status: int = 500, times: int = 1, after: bool = False) -> None:
        """Answer with an error."""
        self.planned.append(Fault(method, path, status, times, after))

    def close(self, method: str, path: str, *, times: int = 1, after: bool = False) -> None:
        """Close the connection without an answer."""
        self.planned.append(Fault(method, path, None, times, after))

    def hang(self, method: str, path: str, *, seconds: float, times: int = 1, after: bool = False) -> None:
        """Say nothing for so long, then close the connection."""
        self.planned.append(Fault(method, path, None, times, after, seconds))

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that a request meets."""
        for fault in self.planned:
            if fault.times > 0 and fault.method == method and re.fullmatch(fault.path, path):
                fault.times -= 1
                return fault
        return None

    def wait(self, fault: Fault) -> None:
        """Be silent, until the end of the test at the latest."""
        if fault.silent_seconds:
            self.released.wait(fault.silent_seconds)
