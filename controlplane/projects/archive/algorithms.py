"""What the engine brings itself, and what of it must never run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

NEVER_RUN = {
    "ocv_ocr_tesseract": "it needs trained Tesseract data that the engine does not bring",
    "ocv_objectness_bing": "it needs trained BING models that the engine does not bring",
    "ocv_qrcode_detector": "it needs a trained super resolution model that the engine does not bring",
}
"""Built-in algorithms that end the engine's process with a segmentation fault, with the reason."""


@cache
def built_in_algorithms() -> frozenset[str]:
    """Names of all algorithms compiled into the engine release that deployments run."""
    lines = (Path(__file__).parent / "built_in_algorithms.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
