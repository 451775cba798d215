"""A replica's log on disk: numbered segments of bounded size, one JSON object a line, read by cursor."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENTS_KEPT = 8
LINE_BYTES = 64 * 1024
READ_BYTES = 1024 * 1024
KEPT_SECONDS = 7 * 24 * 3600


def segments(folder: Path, name: str) -> list[tuple[int, Path]]:
    """Return the (number, path) of a replica's segments, oldest first."""
    found = []
    for path in folder.glob(f"{name}.*.log"):
        number = path.name[len(name) + 1 : -len(".log")]
        if number.isdigit():
            found.append((int(number), path))
    return sorted(found)


class LogWriter:
    """Appends to the newest segment and goes on after a restart of the agent."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        existing = segments(folder, name)
        self.number = existing[-1][0] if existing else 1
        self.file = self.path(self.number).open("ab")
        self.pending = b""

    def path(self, number: int) -> Path:
        """Return the file of a segment."""
        return self.folder / f"{self.name}.{number}.log"

    def note(self, level: str, message: str) -> None:
        """Write a line of the agent itself."""
        self.write_line(entry(level, message))

    def feed(self, data: bytes) -> None:
        """Take what the runtime printed, in whatever pieces it comes; every line becomes a JSON object."""
        *lines, self.pending = (self.pending + data).split(b"\n")
        if len(self.pending) > LINE_BYTES:
            lines, self.pending = [*lines, self.pending], b""
        for line in lines:
            if line.strip():
                self.write_line(as_json(line[:LINE_BYTES]))

    def end(self) -> None:
        """Write a last line that had no newline."""
        if self.pending.strip():
            self.feed(b"\n")
        self.pending = b""

    def write_line(self, line: bytes) -> None:
        """Append one line; begin a new segment when this one is full and drop the oldest."""
        if self.file.tell() > SEGMENT_BYTES:
            self.file.close()
            self.number += 1
            self.file = self.path(self.number).open("ab")
            for _, old in segments(self.folder, self.name)[:-SEGMENTS_KEPT]:
                old.unlink(missing_ok=True)
        self.file.write(line + b"\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file; the segments stay readable."""
        self.end()
        self.file.close()


def entry(level: str, message: str) -> bytes:
    """Return a log line with the present time in milliseconds."""
    return json.dumps({"ts": time.time_ns() // 1_000_000, "level": level, "message": message}, ensure_ascii=False).encode()


def as_json(line: bytes) -> bytes:
    """Return the line if it is one of the runtime's, else wrapped: what the interpreter prints before the runtime speaks."""
    try:
        if isinstance(found := json.loads(line), dict) and {"ts", "level", "message"} <= found.keys():
            return line
    except ValueError:
        pass
    return entry("WARNING", line.decode("utf-8", "replace").rstrip())


def read(folder: Path, name: str, cursor: str, *, limit: int) -> dict[str, Any]:
    """Return `{"lines", "cursor"}`: whole lines after the cursor "segment:offset"; lines dropped by rotation are skipped."""
    number, offset = parse_cursor(cursor)
    lines: list[str] = []
    budget = READ_BYTES
    for segment, path in segments(folder, name):
        if segment < number or len(lines) >= limit or budget <= 0:
            continue
        if segment > number:
            number, offset = segment, 0
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if len(lines) >= limit or budget <= 0 or not line.endswith(b"\n"):
                    break
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                offset += len(line)
                budget -= len(line)
    return {"lines": lines, "cursor": f"{number}:{offset}"}


def prune(folder: Path, *, keep: Iterable[str]) -> None:
    """Remove the logs of replicas that ended a week ago; their lines have long been fetched."""
    kept = set(keep)
    for path in folder.glob("*.log"):
        if path.name.split(".")[0] not in kept and time.time() - path.stat().st_mtime > KEPT_SECONDS:
            path.unlink(missing_ok=True)


def parse_cursor(cursor: str) -> tuple[int, int]:
    """Return segment and offset; anything else means from the start."""
    number, _, offset = cursor.partition(":")
    return (int(number), int(offset)) if number.isdigit() and offset.isdigit() else (0, 0)
