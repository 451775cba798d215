"""The installed packages as they go into a bundle: without what differs from one installation to the next, so that the same lock gives the same bytes."""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from deployments.bundles.bytecode import CACHE
from deployments.errors import BuildFailed

FOLDER = "site-packages"
LOCK = "lock.txt"
# Programs would carry the path of our interpreter; the others tell when, by what and from where something was installed.
LEFT_OUT_ROOTS = {"bin", ".lock"}
LEFT_OUT_RECORDS = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}


def tidy(folder: Path) -> None:
    """Remove from an installation what is not the packages' own, and say so in their RECORD files. Raises BuildFailed (BAD_PACKAGE)."""
    for path in list(files_below(folder)):
        relative = path.relative_to(folder)
        if not stat.S_ISREG(path.lstat().st_mode):
            raise BuildFailed("BAD_PACKAGE", f"A required package brings '{relative}', which is no plain file.")
        if is_left_out(relative):
            path.unlink()
    for record in sorted(folder.glob("*.dist-info/RECORD")):
        record.write_text(tidy_record(record.read_text(encoding="utf-8"), folder), encoding="utf-8")


def is_left_out(path: Path) -> bool:
    """Tell whether a file (relative to the installation) stays out of the bundle."""
    in_record = len(path.parts) == 2 and path.parts[0].endswith(".dist-info") and path.name in LEFT_OUT_RECORDS
    return path.parts[0] in LEFT_OUT_ROOTS or in_record


def tidy_record(text: str, folder: Path) -> str:
    """Return a RECORD with a line for each file that is there and is not byte code, which we made, in the order of their names."""
    rows = sorted(row for row in csv.reader(io.StringIO(text)) if row and CACHE not in row[0].split("/") and (folder / row[0]).is_file())
    target = io.StringIO()
    csv.writer(target, lineterminator="\n").writerows(rows)
    return target.getvalue()


def packaged_files(folder: Path) -> dict[str, Path]:
    """Return the files of a tidy installation by their path in the bundle."""
    return {f"{FOLDER}/{path.relative_to(folder).as_posix()}": path for path in files_below(folder)}


def files_below(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder that is no folder; links to folders count as files."""
    for place, folders, names in os.walk(folder):
        for name in (*names, *(one for one in folders if os.path.islink(os.path.join(place, one)))):
            yield Path(place, name)
