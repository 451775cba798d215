"""Videos as frames: read with their times, written so that browsers play them.

PyAV instead of the engine's own OpenCV: that one writes H.264 as well, but at a constant rate only and without moving the index to the front.
"""

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy

av: Any = importlib.import_module("av")
reformatter: Any = importlib.import_module("av.video.reformatter")

# Containers of single files. Playlists, which name other files and addresses, are none.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,h264,hevc,ivf,mxf,nut,dv,wtv,apng,m4v"
# A few bytes can claim pictures that take gigabytes to decode. This is the largest usual one (8K for cinemas), also standing upright.
LARGEST = (8192, 4320)
PIXEL_LIMIT = LARGEST[0] * LARGEST[1]
# The limit holds for all decoders, also while the container is looked at.
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "max_pixels": str(PIXEL_LIMIT)}
FINE_TIME = Fraction(1, 90_000)
FINEST_TIME = Fraction(1, 1_000_000)
DEFAULT_RATE = Fraction(25)
HIGHEST_RATE = 240
KEY_FRAME_SECONDS = 2
RIGHT_ANGLE = 90

Pixels = numpy.ndarray[Any, numpy.dtype[Any]]


class DamagedVideo(Exception):
    """A video that can't be read to its end; the text says where it stopped and what to do."""


@dataclass(slots=True)
class Frame:
    """One picture of a video, RGB and upright. Times are in units of the video's `time_base`, from its first frame."""

    pixels: Pixels
    pts: int
    duration: int


class VideoReader:
    """Gives a video's frames in the order in which they are shown. `count` is what its container says (or guesses), 0 when unknown."""

    def __init__(self, path: Path) -> None:
        try:
            self._container = av.open(str(path), options=OPTIONS, metadata_errors="replace")
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise DamagedVideo(f"it is not a video that can be read ({_reason(error)}); {_ADVICE}") from error
        stream = self._container.streams.best("video")
        if stream is None:
            self._container.close()
            raise DamagedVideo(f"it has no picture track; {_ADVICE}")
        self._stream = stream
        if self._is_too_large():
            self._container.close()
            raise DamagedVideo(self._size())
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.options = {"max_pixels": OPTIONS["max_pixels"]}
        self.rate = _usable_rate(stream)
        self.time_base = _usable_time_base(stream)
        self.count = stream.frames or _guess_count(self._container, self.rate)
        self.pixel_shape = stream.sample_aspect_ratio or Fraction(1)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self) -> Iterator[Frame]:
        """All frames; raises DamagedVideo where the file is cut off or damaged, and when there is none."""
        first: int | None = None
        last = -1
        number = 0
        for number, frame in enumerate(self._decode(), 1):
            position = self._position(frame, number - 1)
            first = position if first is None else first
            # Two frames may not have one time, whatever the file says.
            last = max(last + 1, position - first)
            duration = self._scale(frame.duration) if frame.duration else round(1 / self.rate / self.time_base)
            yield Frame(_upright(frame), last, duration)
        if number == 0:
            raise DamagedVideo(f"no picture could be decoded from it; {_ADVICE}")

    def _decode(self) -> Iterator[Any]:
        """What can't be decoded before the first whole picture is left out, as players do: recordings may begin anywhere."""
        number = 0
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    raise DamagedVideo(f"it is cut off or damaged after frame {number}; {_ADVICE}")
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    if number or self._is_too_large():
                        raise
                    continue
                for frame in frames:
                    number += 1
                    yield frame
        except av.error.FFmpegError as error:
            if self._is_too_large() or (number == 0 and not self._stream.codec_context.width):
                raise DamagedVideo(self._size()) from error
            raise DamagedVideo(f"it is damaged after frame {number} ({_reason(error)}); {_ADVICE}") from error

    def _is_too_large(self) -> bool:
        """As far as the decoder has come: it forgets the size of a first picture that is beyond the limit."""
        context = self._stream.codec_context
        return bool(context.width * context.height > PIXEL_LIMIT)

    def _size(self) -> str:
        context = self._stream.codec_context
        found = f"{context.width} x {context.height} pixels" if context.width else "more pixels than that, or a size that can't be read"
        return f"its pictures may have as many pixels as {LARGEST[0]} x {LARGEST[1]}, they have {found}; scale it down and upload it again"

    def _position(self, frame: Any, index: int) -> int:
        if frame.pts is None:
            return round(index / self.rate / self.time_base)
        return self._scale(frame.pts)

    def _scale(self, ticks: int) -> int:
        source = self._stream.time_base or self.time_base
        return ticks if source == self.time_base else round(ticks * source / self.time_base)


_ADVICE = "check that it plays, convert it to MP4 (H.264) if it does, and upload it again"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _usable_rate(stream: Any) -> Fraction:
    rate: Fraction = stream.average_rate or stream.guessed_rate or stream.base_rate or DEFAULT_RATE
    return rate if 0 < rate <= HIGHEST_RATE else DEFAULT_RATE


def _usable_time_base(stream: Any) -> Fraction:
    """The video's own, so that no time is rounded, unless an MP4 can't have it."""
    own: Fraction | None = stream.time_base
    return own if own is not None and own.numerator == 1 and own >= FINEST_TIME else FINE_TIME


def _guess_count(container: Any, rate: Fraction) -> int:
    return round(container.duration / av.time_base * rate) if container.duration else 0


def _upright(frame: Any) -> Pixels:
    """Phones store pictures as the sensor lay and say how to turn them."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / RIGHT_ANGLE) % 4
    return numpy.ascontiguousarray(numpy.rot90(pixels, turns)) if turns else pixels


class VideoWriter:
    """Writes pictures of one size with the times of the frames that they were made from: H.264 in MP4, index first."""

    def __init__(self, path: Path, pixels: Pixels, *, time_base: Fraction, rate: Fraction) -> None:
        self._time_base = time_base
        height, width = pixels.shape[:2]
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self._stream = self._container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"})
        # Half as many colour samples in each direction: both sizes must be even.
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = time_base
        context.gop_size = max(1, round(rate * KEY_FRAME_SECONDS))
        context.color_range = reformatter.ColorRange.MPEG
        context.colorspace = reformatter.Colorspace.ITU709
        context.color_primaries = context.color_trc = 1  # ITU-R BT.709

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        """Add a picture (RGB, 8 bits); one of another size than the first is fitted to that."""
        height, width = pixels.shape[:2]
        if height % 2 or width % 2:
            pixels = numpy.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(numpy.ascontiguousarray(pixels), format="rgb24").reformat(
            width=self._stream.width,
            height=self._stream.height,
            format="yuv420p",
            dst_colorspace=reformatter.Colorspace.ITU709,
            dst_color_range=reformatter.ColorRange.MPEG,
        )
        frame.pts, frame.time_base, frame.duration = pts, self._time_base, duration
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is still in the encoder, and the index."""
        self._container.mux(self._stream.encode())
        self._container.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        with contextlib.suppress(Exception):
            self._container.close()


def visible(pixels: Pixels, kind: str) -> Pixels:
    """A picture of any kind as RGB of 8 bits: masks become black and white, labels become shades of grey that tell them apart."""
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        pixels = pixels[:, :, 0]
    if kind.endswith("_BINARY"):
        pixels = numpy.where(pixels > 0, 255, 0)
    elif kind.endswith("_LABEL"):
        pixels = numpy.where(pixels > 0, LABEL_SHADES[pixels.astype(numpy.int64) % len(LABEL_SHADES)], 0)
    elif pixels.dtype == numpy.uint16:
        pixels = pixels >> 8
    elif pixels.dtype.kind == "f":
        pixels = numpy.clip(numpy.nan_to_num(pixels), 0, 255)
    if pixels.dtype != numpy.uint8:
        pixels = pixels.astype(numpy.uint8)
    return numpy.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels[:, :, :3]


# Neighbouring labels differ by much: 83 has no factor in common with 201, the number of shades.
LABEL_SHADES = numpy.array([55 + number * 83 % 201 for number in range(201)], numpy.uint8)
