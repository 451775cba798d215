"""A replica's log on disk: numbered segments of bounded size, one JSON object a line, read by cursor."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

SEGMENT_BYTES = 4 * 1024 * 1024
SEGMENTS_KEPT = 8
# A longer line is taken apart, but for one of the runtime's own: half of a JSON object says nothing.
LINE_BYTES = 64 * 1024
OBJECT_BYTES = 1024 * 1024
READ_BYTES = 1024 * 1024
KEPT_SECONDS = 7 * 24 * 3600
CRASHES = (b"Fatal Python error", b"Segmentation fault", b"Traceback (most recent call last)")
LOST = "Lines may be missing here: more was written than there was room for, before it could be fetched."


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
        self.file = self.path(self.number).open("ab", buffering=0)
        self.pending = b""
        self.torn = False

    def path(self, number: int) -> Path:
        """Return the file of a segment."""
        return self.folder / f"{self.name}.{number}.log"

    def note(self, level: str, message: str) -> None:
        """Write a line of the agent itself."""
        self.write([entry(level, message)])

    def feed(self, data: bytes) -> None:
        """Take what the runtime printed, in whatever pieces it comes; all of it becomes lines of JSON."""
        *lines, self.pending = (self.pending + data).split(b"\n")
        entries = list(as_entries(lines))
        if len(self.pending) > room_for(self.pending):
            *pieces, self.pending = pieces_of(self.pending)
            entries += map(wrapped, pieces)
        self.write(entries)

    def end(self) -> None:
        """Write a last line that had no newline."""
        if self.pending.strip():
            self.feed(b"\n")
        self.pending = b""

    def write(self, lines: list[bytes]) -> None:
        """Append lines in one go. A disk that is full stops no replica: what there is no room for is lost, and the next line says so."""
        if not lines:
            return
        if self.torn:
            lines = [b"", entry("WARNING", LOST), *lines]
        rest = memoryview(b"\n".join(lines) + b"\n")
        try:
            self.rotate()
            while rest:
                rest = rest[self.file.write(rest) or 0 :]
            self.torn = False
        except OSError:
            self.torn = True

    def rotate(self) -> None:
        """Begin a new segment when this one is full and drop the oldest."""
        if self.file.tell() <= SEGMENT_BYTES:
            return
        following = self.path(self.number + 1).open("ab", buffering=0)
        self.file.close()
        self.file, self.number = following, self.number + 1
        for _, old in segments(self.folder, self.name)[:-SEGMENTS_KEPT]:
            old.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the segments stay readable."""
        self.end()
        self.file.close()


def room_for(line: bytes) -> int:
    """Return how long a line may be."""
    return OBJECT_BYTES if line.startswith(b"{") else LINE_BYTES


def pieces_of(line: bytes) -> Iterator[bytes]:
    """Take a long line apart, between two characters."""
    while len(line) > LINE_BYTES:
        end = LINE_BYTES
        while end > LINE_BYTES - 4 and line[end] & 0xC0 == 0x80:
            end -= 1
        yield line[:end]
        line = line[end:]
    yield line


def entry(level: str, message: str) -> bytes:
    """Return a log line with the present time in milliseconds."""
    return json.dumps({"ts": time.time_ns() // 1_000_000, "level": level, "message": message}, ensure_ascii=False).encode()


def as_entries(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the runtime's own lines as they are. What else came at a time is wrapped together: the stack of a crash is one entry, a flood is few."""
    for own, group in groupby((line for line in lines if line.strip()), key=is_object):
        together = list(group)
        yield from together if own else map(wrapped, pieces_of(b"\n".join(together)))


def wrapped(text: bytes) -> bytes:
    """Return an entry for what the interpreter prints before the runtime speaks, or when it crashes."""
    return entry("ERROR" if any(mark in text for mark in CRASHES) else "WARNING", text.decode("utf-8", "replace").rstrip())


def is_object(line: bytes) -> bool:
    """Tell whether a line has the form of the runtime's."""
    try:
        fits = line.startswith(b"{") and len(line) <= OBJECT_BYTES
        return fits and {"ts", "level", "message"} <= json.loads(line).keys()
    except (ValueError, RecursionError):
        return False


def read(folder: Path, name: str, cursor: str, *, limit: int) -> dict[str, Any]:
    """Return `{"lines", "cursor"}`: whole lines after the cursor "segment:offset". Where rotation has dropped some, a line says so."""
    number, offset = parse_cursor(cursor)
    lines: list[str] = []
    budget = READ_BYTES
    found = segments(folder, name)
    if found and found[0][0] > max(number, 1):
        lines.append(entry("WARNING", LOST).decode())
        number, offset = found[0][0], 0
    for segment, path in found:
        if segment < number or len(lines) >= limit or budget <= 0:
            continue
        if segment > number:
            number, offset = segment, 0
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if len(lines) >= limit or budget <= 0 or not line.endswith(b"\n"):
                    break
                if line.strip():
                    lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                offset += len(line)
                budget -= len(line)
    return {"lines": lines, "cursor": f"{number}:{offset}"}


def positions(folder: Path) -> dict[str, str]:
    """Return, by the replica's name, the cursor at the end of its log."""
    newest: dict[str, int] = {}
    with os.scandir(folder) as found:
        for file in found:
            name, number, kind = (*file.name.rsplit(".", 2), "", "")[:3]
            if kind == "log" and number.isdigit():
                newest[name] = max(newest.get(name, 0), int(number))
    ends = {}
    for name, last in newest.items():
        try:
            ends[name] = f"{last}:{(folder / f'{name}.{last}.log').stat().st_size}"
        except FileNotFoundError:
            continue
    return ends


def drop(folder: Path, name: str) -> None:
    """Remove the log of a replica."""
    for _, path in segments(folder, name):
        path.unlink(missing_ok=True)


def mend(folder: Path) -> None:
    """End the lines that an agent was writing when it was killed, so that they are read, and no other is written behind them."""
    for name, cursor in positions(folder).items():
        number, size = parse_cursor(cursor)
        with (folder / f"{name}.{number}.log").open("r+b") as file:
            file.seek(max(size - 1, 0))
            if size and file.read(1) != b"\n":
                file.write(b"\n")


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
