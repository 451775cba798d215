"""Results that go to project storage are written as files into the run's folder, from where they are sent."""

import mimetypes
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pybase64

from runtime.data_types import PATH_TYPES, PICTURE_TYPES
from runtime.engine.outputs import encode_output
from runtime.scratch import PREFIX, base_folder
from runtime.wire import SavedFile

JPEG_SIGNATURE = b"\xff\xd8\xff"
ANY_TYPE = "application/octet-stream"


def save_output(output: Any, folder: Path, position: int) -> SavedFile | None:
    """Write an output as a file; None when it has no data. Raises ValueError or OSError when it can't be saved.

    Pictures have the very bytes that would stand inline; JSON keeps its wrapper. Files are copied: the next run may write them anew.
    """
    kind = str(output.data_type)
    if kind in PATH_TYPES:
        return _save_path(output.get_path(), kind, folder, position)
    if not output.is_data_available():
        return None
    content = encode_output(output)
    if kind not in PICTURE_TYPES:
        return SavedFile(position, _write(folder, f"result-{position}.json", content), "json", "application/json")
    picture = pybase64.b64decode(msgspec.json.decode(content, type=dict[str, str])["image"])
    content_type = "image/jpeg" if picture.startswith(JPEG_SIGNATURE) else "image/png"
    return SavedFile(position, _write(folder, f"result-{position}", picture), "image", content_type)


def _write(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def _save_path(given: str, kind: str, folder: Path, position: int) -> SavedFile | None:
    if not given:
        return None
    source = Path(given).resolve()
    _check_place(source, given, folder)
    if kind == "FOLDER_PATH":
        target = folder / f"result-{position}.zip"
        _pack(source, target)
        return SavedFile(position, str(target), "folder_path", "application/zip", is_archive=True)
    if not source.is_file():
        raise ValueError(f"there is no file {given}")
    target = folder / f"result-{position}{source.suffix}"
    shutil.copyfile(source, target)
    return SavedFile(position, str(target), "file_path", mimetypes.guess_type(source.name)[0] or ANY_TYPE)


def _check_place(source: Path, given: str, folder: Path) -> None:
    """Only what plugins may have written: below the folder for temporary files, and nothing that holds other runs' files.

    `folder` is `<base>/runtime-<process>/<run>/results-<attempt>`: what callers ask for may name no other run's files, nor those of other
    processes.
    """
    if base_folder() not in source.parents or source == folder or source in folder.parents:
        raise ValueError(f"{given} is not below the folder for temporary files ({base_folder()}); write results there")
    run = folder.parent
    base = run.parent.parent
    if base in source.parents and source.relative_to(base).parts[0].startswith(PREFIX) and run not in source.parents:
        raise ValueError(f"{given} lies in a folder of other runs; write results elsewhere below {base_folder()}")


def _pack(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise ValueError(f"there is no folder {source}")
    with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED, compresslevel=1, strict_timestamps=False) as archive:
        for parent, folders, files in os.walk(source):
            for name in sorted([*folders, *files]):
                path = Path(parent, name)
                if path.is_symlink():
                    raise ValueError(f"{path} is a link, folders are stored without links")
                if path.is_dir() or path.is_file():
                    archive.write(path, path.relative_to(source))
