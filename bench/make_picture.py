"""Runs in the client's environment: write a picture at a given size. Usage: make_picture.py SOURCE TARGET WIDTH HEIGHT"""

from __future__ import annotations

import sys

from PIL import Image


def main(source: str, target: str, width: str, height: str) -> None:
    """Resize and save."""
    Image.open(source).convert("RGB").resize((int(width), int(height))).save(target, quality=90)
    sys.stdout.write("{}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
