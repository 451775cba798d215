"""Test videos: made and looked at in the runtime's own environment, where the library for it is."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.runtime.process import PYTHON

TOOL = Path(__file__).with_name("video_tool.py")
LEVELS = list(range(10, 210, 10))


def use_tool(what: str, **spec: Any) -> dict[str, Any]:
    """Run the tool."""
    done = subprocess.run([PYTHON, TOOL, what], input=json.dumps(spec).encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def make_video(suffix: str = ".mp4", **spec: Any) -> bytes:
    """A video; by default 20 frames of 64x48 at 25 frames a second, each lighter than the one before."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"video{suffix}"
        use_tool("make", path=str(path), **{"width": 64, "height": 48, "levels": LEVELS} | spec)
        return path.read_bytes()


def describe_video(content: bytes, **spec: Any) -> dict[str, Any]:
    """What is in a video."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        return use_tool("describe", path=file.name, **spec)
