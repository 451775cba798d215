"""An input that lies in project storage becomes a file or a folder for the engine. Blocking: called in threads."""

import mimetypes
import re
import time
from dataclasses import dataclass
from pathlib import Path

from runtime.data_types import PATH_TYPES
from runtime.errors import DiskFull, InputTooLarge, TransferFailed, UnusableObject
from runtime.images import looks_like_image
from runtime.log import write_log
from runtime.run_inputs import StorageReference
from runtime.scratch import Scratch
from runtime.settings import MEGABYTE
from runtime.storage.archive import unpack, unpacked_size
from runtime.storage.connection import StorageConnections
from runtime.storage.download import StoredObject, describe_object, download_object
from runtime.wire import JobInput

IMAGE_LIMIT = 100 * MEGABYTE
JSON_LIMIT = 128 * MEGABYTE
SNIFFED_BYTES = 64
NAME_BYTES = 200
ZIP_TYPE = "application/zip"


@dataclass(slots=True)
class StorageInput:
    """One input on its way. `folder` is its own and new, `unpacked` are the bytes that its archive held."""

    run: str
    index: int
    reference: StorageReference
    token: str
    folder: Path
    stored: StoredObject
    unpacked: int = 0


class InputFetcher:
    """Brings inputs from storage to the disk."""

    def __init__(self, connections: StorageConnections, scratch: Scratch) -> None:
        self._connections = connections
        self._scratch = scratch

    def describe(self, run: str, index: int, reference: StorageReference, token: str, folder: Path) -> StorageInput:
        """Ask storage what the input is; raises a TransferFailed that names it, also when it is too large for its type."""
        try:
            stored = describe_object(self._connections, reference.url, token)
            _check_size(stored, reference.kind)
        except TransferFailed as error:
            raise _named(index, reference, error) from error
        return StorageInput(run, index, reference, token, folder / f"input-{index}", stored)

    def fetch(self, wanted: StorageInput, unpack_limit: int) -> JobInput:
        """Download an input and check what it is; raises a TransferFailed that names it."""
        try:
            return JobInput(wanted.reference.kind, path=str(self._fetch(wanted, unpack_limit)))
        except TransferFailed as error:
            raise _named(wanted.index, wanted.reference, error) from error
        except OSError as error:
            full = DiskFull(f"it could not be written to the disk of this replica: {error.strerror or error}")
            raise _named(wanted.index, wanted.reference, full) from error

    def _fetch(self, wanted: StorageInput, unpack_limit: int) -> Path:
        kind, stored, began = wanted.reference.kind, wanted.stored, time.perf_counter()
        if kind == "FOLDER_PATH" and not (stored.is_directory_archive or stored.content_type == ZIP_TYPE):
            raise UnusableObject(f"a folder is stored as a zip archive ({ZIP_TYPE}), this object is {stored.content_type}")
        wanted.folder.mkdir()
        path = wanted.folder / ("archive" if kind == "FOLDER_PATH" else file_name(stored))
        self._scratch.claim(path, stored.size)
        download_object(self._connections, stored, wanted.token, path)
        seconds = time.perf_counter() - began
        message = (
            f"input {wanted.index} ({wanted.reference.data_type}) came from storage: {stored.size / MEGABYTE:.2f} MB in {seconds:.2f} s"
        )
        write_log("INFO", message, run=wanted.run)
        if kind == "IMAGE":
            _check_image(path)
        return self._unpack(wanted, path, unpack_limit) if kind == "FOLDER_PATH" else path

    def _unpack(self, wanted: StorageInput, archive: Path, limit: int) -> Path:
        wanted.unpacked = unpacked_size(archive, limit)
        self._scratch.check_room(wanted.unpacked)
        folder = wanted.folder / "folder"
        unpack(archive, folder)
        archive.unlink()
        return folder


def _named(index: int, reference: StorageReference, error: TransferFailed) -> TransferFailed:
    return type(error)(f"Input {index} ({reference.data_type}): {error}")


def _check_size(stored: StoredObject, kind: str) -> None:
    """What a worker reads into memory is bounded; videos, files and folders are not by themselves."""
    if kind == "VIDEO" or kind in PATH_TYPES:
        return
    limit = IMAGE_LIMIT if kind == "IMAGE" else JSON_LIMIT
    if stored.size > limit:
        raise InputTooLarge(f"the object has {stored.size / MEGABYTE:.1f} MB, such an input may have {limit // MEGABYTE} MB")


def _check_image(path: Path) -> None:
    with path.open("rb") as file:
        if not looks_like_image(file.read(SNIFFED_BYTES)):
            raise UnusableObject("the object is not an image in a supported format (JPEG, PNG, WebP, TIFF, BMP, GIF, JPEG 2000, PNM)")


def file_name(stored: StoredObject) -> str:
    """An object's own name, safe as the name of a file; without one `object` with the suffix of its content type."""
    given = (stored.path or "").rstrip("/").rpartition("/")[2]
    name = re.sub(r"[\x00-\x1f\x7f/\\:]", "_", given).strip().lstrip(".")
    name = name.encode("utf-8", "replace")[-NAME_BYTES:].decode("utf-8", "ignore")
    return name or "object" + (mimetypes.guess_extension(stored.content_type.partition(";")[0].strip()) or "")
