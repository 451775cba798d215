"""One JSON object a line on standard output; the engine's own output is wrapped into such lines."""

import asyncio
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Literal

import msgspec

Level = Literal["INFO", "WARNING", "ERROR"]

LINE_LIMIT = 16_384
READ_SIZE = 65_536
_LEVEL_WORD = re.compile(r"\b(WARNING|WARN|ERROR|CRITICAL|FATAL)\b")


def write_log(
    level: Level, message: str, *, run: str | None = None, duration_ms: float | None = None, traceback: str | None = None
) -> None:
    """Write one line. A reader that went away never stops the runtime."""
    line: dict[str, object] = {"ts": time.time_ns() // 1_000_000, "level": level, "message": message}
    if run is not None:
        line["run"] = run
    if duration_ms is not None:
        line["duration_ms"] = duration_ms
    if traceback is not None:
        line["traceback"] = traceback
    try:
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()
    except (OSError, ValueError):
        return


def level_of(line: str) -> Level:
    """The level that a foreign line states in its first words, INFO when it states none."""
    if line.startswith("Fatal Python error"):
        return "ERROR"
    found = _LEVEL_WORD.search(line[:80])
    if found is None:
        return "INFO"
    return "WARNING" if found[1].startswith("WARN") else "ERROR"


class OutputPipe:
    """Reads what an engine process prints, line by line, on the event loop.

    The last lines stay in `tail`: a crash leaves its stack there.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int, current_run: Callable[[], str | None]) -> None:
        self.tail: deque[str] = deque(maxlen=60)
        self._loop = loop
        self._descriptor: int | None = descriptor
        self._current_run = current_run
        self._rest = b""
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, self._read)

    def _read(self) -> bool:
        """Take what is there; true while more may follow at once."""
        if self._descriptor is None:
            return False
        try:
            data = os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._release()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(line)
        if len(self._rest) > LINE_LIMIT:
            self._write(self._rest)
            self._rest = b""
        return True

    def _write(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self.tail.append(text)
            write_log(level_of(text), text, run=self._current_run())

    def _release(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        if self._rest:
            self._write(self._rest)
            self._rest = b""

    def close(self) -> None:
        """Take what is still in the pipe and stop. What a process left behind prints later is lost."""
        for _ in range(64):
            if not self._read():
                break
        self._release()

    def crash_report(self) -> str | None:
        """The stack that the interpreter printed when it was killed by a signal of its own, if it did."""
        lines = list(self.tail)
        for index, line in enumerate(lines):
            if line.startswith("Fatal Python error"):
                return "\n".join(lines[index:])
        return None
