"""Inputs that change from frame to frame: videos, and the lists that earlier runs on videos gave."""

import importlib
from pathlib import Path
from typing import Any

import msgspec

from runtime.data_types import FRAME_TYPES, IMAGE_TYPES, JSON_TYPES, WRAPPED_JSON
from runtime.engine.failures import RunFailed
from runtime.engine.inputs import build_value
from runtime.engine.video import DamagedVideo, Frame, Pixels, VideoReader
from runtime.wire import Failure, JobInput

MASK_THRESHOLD = 128


class VideoInput:
    """A video, frame by frame. `now` is the frame that the workflow sees."""

    def __init__(self, index: int, given: JobInput, expected: str | None) -> None:
        self._index = index
        self._kind = _frame_type(expected)
        self._io: Any = importlib.import_module("ikomia.dataprocess")
        self.now: Frame | None = None
        try:
            self.reader = VideoReader(Path(given.path or ""))
        except DamagedVideo as error:
            raise self._failure(error) from error
        self._frames = self.reader.frames()

    def next(self) -> Any | None:
        """The engine's object for the next frame, None after the last."""
        try:
            self.now = next(self._frames, None)
        except DamagedVideo as error:
            raise self._failure(error) from error
        if self.now is None:
            return None
        # CVideoIO, not CImageIO: optical flow and the like take nothing else, and everything else takes it as a picture.
        return self._io.CVideoIO(getattr(self._io.IODataType, self._kind), _as_mask(self.now.pixels, self._kind), "")

    def _failure(self, error: DamagedVideo) -> RunFailed:
        return RunFailed(Failure("invalid_input", f"Input {self._index} (video) can't be read: {error}"))


class SequenceInput:
    """The list that an earlier run on a video gave: an entry for each frame."""

    def __init__(self, index: int, given: JobInput, content: bytes, expected: str | None) -> None:
        self._index = index
        self._wanted = given.type
        self._expected = expected
        try:
            self._entries = iter(msgspec.json.decode(content, type=list[msgspec.Raw]))
        except msgspec.MsgspecError as error:
            raise RunFailed(Failure("invalid_input", f"Input {index} ({given.type}) can't be read: {error}")) from error

    def next(self) -> Any | None:
        """The engine's object for the next entry, None after the last."""
        entry = next(self._entries, None)
        try:
            return None if entry is None else build_value(bytes(entry), self._wanted, self._expected)
        except Exception as error:
            raise RunFailed(Failure("invalid_input", f"Input {self._index} ({self._wanted}) can't be read: {error}")) from error


def list_content(given: JobInput) -> bytes | None:
    """The content of a stored JSON list, None for any other input."""
    if given.path is None or (given.type not in JSON_TYPES and given.type != WRAPPED_JSON):
        return None
    content = Path(given.path).read_bytes()
    return content if content[:1] == b"[" else None


def _frame_type(expected: str | None) -> str:
    if expected in FRAME_TYPES:
        return expected
    return expected.replace("IMAGE", "VIDEO") if expected in IMAGE_TYPES else "VIDEO"


def _as_mask(pixels: Pixels, kind: str) -> Pixels:
    """A video has colours; where a mask or labels are wanted its brightness stands for them."""
    if not kind.endswith(("_BINARY", "_LABEL")):
        return pixels
    cv2: Any = importlib.import_module("cv2")
    grey: Pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return cv2.threshold(grey, MASK_THRESHOLD - 1, 255, cv2.THRESH_BINARY)[1] if kind.endswith("_BINARY") else grey
