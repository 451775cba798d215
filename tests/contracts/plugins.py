"""Plugins in the folder that the engine reads: the example that finds objects, under other names and with more to tell."""

from __future__ import annotations

import base64
from pathlib import Path

from controlplane.projects.examples_catalogue import EXAMPLES

FOLDER = "Ikomia/Plugins/Python"
README = """# Hulls

Counts hulls at a quay.[^1] See [the manual](/manual) and mind the [/red] light.
"""
# One pixel.
ICON = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def write_plugin(home: Path, name: str, **told: str) -> Path:
    """Write a detector called `name`; `told` replaces or adds fields of its factory's `info`, as Python expressions."""
    source, folder = EXAMPLES / "detect_objects" / "detect_objects", home / FOLDER / name
    folder.mkdir(parents=True)
    for file in source.glob("*.py"):
        text = file.read_text().replace("detect_objects", name)
        (folder / file.name.replace("detect_objects", name)).write_text(text)
    (folder / "README.md").write_text(README)
    describe(home, name, **told)
    return folder


def describe(home: Path, name: str, **told: str) -> None:
    """Let the plugin tell something else of itself."""
    file = home / FOLDER / name / f"{name}_process.py"
    lines = [line for line in file.read_text().splitlines() if not any(f"self.info.{field} =" in line for field in told)]
    at = next(number for number, line in enumerate(lines) if "self.info.name =" in line) + 1
    lines[at:at] = [f"        self.info.{field} = {value}" for field, value in told.items()]
    file.write_text("\n".join(lines) + "\n")


def add_icon(home: Path, name: str) -> None:
    """Give the plugin an icon."""
    (home / FOLDER / name / "icon.png").write_bytes(ICON)
    describe(home, name, icon_path='"icon.png"')
