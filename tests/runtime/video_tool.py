"""Makes and describes test videos, by PyAV in the runtime's environment: `python video_tool.py make|describe`, JSON on standard input."""
# mypy: ignore-errors

import json
import sys
from fractions import Fraction

import av
import numpy as np


def make(spec):
    """A video whose frame k has the brightness `levels[k]`, shown from `times[k]` (in `1/base` s)."""
    with av.open(spec["path"], "w", options=spec.get("container", {})) as container:
        stream = container.add_stream(spec.get("codec", "libx264"), rate=Fraction(spec.get("rate", 25)), options=spec.get("options", {}))
        stream.width, stream.height, stream.pix_fmt = spec["width"], spec["height"], spec.get("pix_fmt", "yuv420p")
        times = spec.get("times")
        base = Fraction(1, spec.get("base", 1000))
        if times:
            stream.codec_context.time_base = base
        for index, level in enumerate(spec["levels"]):
            pixels = np.full((spec["height"], spec["width"], 3), level, np.uint8)
            if spec.get("corner"):
                pixels[: spec["height"] // 4, : spec["width"] // 4] = 255
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[index], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return {}


def describe(spec):
    """What a player would learn: codec, times and the mean colours of all frames."""
    with av.open(spec["path"]) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        arrays = [frame.to_ndarray(format="rgb24") for frame in frames]
        return {
            "format": container.format.name,
            "codec": stream.codec_context.name,
            "pix_fmt": stream.codec_context.pix_fmt,
            "size": [stream.width, stream.height],
            "rate": float(stream.average_rate),
            "duration": float(stream.duration * stream.time_base),
            "times": [round(float(frame.pts * frame.time_base) * 1000) for frame in frames],
            "means": [[round(float(value)) for value in array.mean(axis=(0, 1))] for array in arrays],
            "corners": [[int(array[y, x].mean()) for y, x in ((2, 2), (2, -3), (-3, 2), (-3, -3))] for array in arrays],
            "samples": [array[tuple(spec["at"])].tolist() for array in arrays] if "at" in spec else [],
        }


if __name__ == "__main__":
    print(json.dumps({"make": make, "describe": describe}[sys.argv[1]](json.load(sys.stdin))))
