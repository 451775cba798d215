"""Runs in the client's environment: call an endpoint with a picture, draw what was found, tell the timings as one JSON line.

Usage: run_picture.py ENDPOINT PICTURE RESULT TASK
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from ikclient.core.client import Client
from PIL import Image, ImageDraw, ImageOps

RUNS = 20
ZOOM = 2  # of the result picture, so that the labels fit


def main(endpoint: str, picture: str, result: str, task: str) -> None:
    """Run once for the picture, then a few more times for the timings."""
    with Client(endpoint) as client:
        began = time.perf_counter()
        found = {output.key: output.data for output in client.run_task(task, picture).get_outputs()}
        first = time.perf_counter() - began
        took = []
        for _ in range(RUNS):
            began = time.perf_counter()
            client.run_task(task, picture)
            took.append(time.perf_counter() - began)
    boxes = draw(picture, result, found)
    sys.stdout.write(
        json.dumps({"boxes": boxes, "first_ms": first * 1000, "median_ms": statistics.median(took) * 1000, "runs": RUNS}) + "\n"
    )


def draw(picture: str, result: str, found: dict[str, Any]) -> int:
    """Draw each detection's box and label on the picture; return how many there are."""
    detections = found["OBJECT_DETECTION"]["detections"]
    image = ImageOps.scale(Image.open(picture).convert("RGB"), ZOOM)
    pen = ImageDraw.Draw(image)
    for detection in detections:
        box = {side: ZOOM * length for side, length in detection["box"].items()}
        corner = (box["x"] + box["width"], box["y"] + box["height"])
        pen.rectangle([(box["x"], box["y"]), corner], outline=(185, 67, 27), width=3)
        pen.text((box["x"] + 3, box["y"] + 2), f"{detection['label']} {detection['confidence']:.2f}", fill=(185, 67, 27))
    image.save(result)
    return len(detections)


if __name__ == "__main__":
    main(*sys.argv[1:])
