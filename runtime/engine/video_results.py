"""What becomes of an output over all frames of a video: one video, one list, or one file."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from runtime.engine.outputs import encode_output
from runtime.engine.saving import save_output
from runtime.engine.video import Frame, VideoWriter, visible
from runtime.wire import SavedFile


class PictureSink:
    """Pictures of one output become a video. A frame without a picture leaves the one before standing."""

    def __init__(self, path: Path, position: int, time_base: Fraction, rate: Fraction) -> None:
        self._path = path
        self._position = position
        self._time_base = time_base
        self._rate = rate
        self._writer: VideoWriter | None = None

    def add(self, output: Any, frame: Frame, number: int) -> None:
        """Take the picture of a frame."""
        if not output.is_data_available():
            return
        pixels = visible(output.get_image(), str(output.data_type))
        if self._writer is None:
            self._writer = VideoWriter(self._path, pixels, time_base=self._time_base, rate=self._rate)
        self._writer.write(pixels, frame.pts, frame.duration)

    def end(self, output: Any) -> SavedFile | None:
        """The video; None when no frame had a picture."""
        if self._writer is None:
            return None
        self._writer.close()
        return SavedFile(self._position, str(self._path), "video", "video/mp4")

    def close(self) -> None:
        """Let go of the file, after a failure."""
        if self._writer is not None:
            self._writer.abandon()


class ListSink:
    """Everything that is no picture becomes a JSON list, written entry by entry."""

    def __init__(self, path: Path, position: int, time_base: Fraction) -> None:
        self._path = path
        self._position = position
        self._milliseconds = time_base * 1000
        self._file = path.open("wb")

    def add(self, output: Any, frame: Frame, number: int) -> None:
        """Take what the workflow found in a frame: `encode_output` gives an object of one key, before which two more are put."""
        self._file.write(b",\n" if number else b"[")
        milliseconds = float(round(frame.pts * self._milliseconds, 3))
        self._file.write(b'{"frame":%d,"time_ms":%s,' % (number, msgspec.json.encode(milliseconds)))
        self._file.write(encode_output(output)[1:])

    def end(self, output: Any) -> SavedFile | None:
        """The list."""
        self._file.write(b"]\n")
        self._file.close()
        return SavedFile(self._position, str(self._path), "json", "application/json")

    def close(self) -> None:
        """Let go of the file, after a failure."""
        self._file.close()


class PathSink:
    """A file or a folder is taken once, as it is after the last frame."""

    def __init__(self, folder: Path, position: int) -> None:
        self._folder = folder
        self._position = position

    def add(self, output: Any, frame: Frame, number: int) -> None:
        """Nothing: a later frame may go on writing."""

    def end(self, output: Any) -> SavedFile | None:
        """The file; None when the workflow gave none."""
        return save_output(output, self._folder, self._position)

    def close(self) -> None:
        """Nothing is open."""


Sink = PictureSink | ListSink | PathSink
