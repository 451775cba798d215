"""Folders come as zip archives: unpacked into their place and nowhere else, and never more than allowed."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.errors import InputTooLarge, TransferFailed, UnusableObject
from runtime.storage import archive as archives
from runtime.storage.archive import FOLDER_BYTES, unpack, unpacked_size

LIMIT = 1 << 30


def zip_of(entries: dict[str, bytes]) -> bytes:
    """An archive with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def link() -> bytes:
    """A symbolic link to the outside."""
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, "/etc")
    return buffer.getvalue()


def encrypted() -> bytes:
    """An entry that says to be encrypted, in both places."""
    content = bytearray(zip_of({"a": b"1"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def twice() -> bytes:
    """Two files of one name."""
    return zip_of({"a": b"1", "b": b"2"}).replace(b"b", b"a")


def damaged() -> bytes:
    """A file whose content is not what was packed."""
    content = bytearray(zip_of({"a": b"hello" * 100}))
    content[35] ^= 0xFF
    return bytes(content)


def lying() -> bytes:
    """A file that is larger than it says."""
    content = bytearray(zip_of({"a": b"x" * 1000}))
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 10)
    return bytes(content)


def huge_directory() -> bytes:
    """An archive whose end claims a directory of 2 GB."""
    content = bytearray(zip_of({"a": b"1"}))
    struct.pack_into("<I", content, content.index(b"PK\x05\x06") + 12, 1 << 31)
    return bytes(content)


def below_a_file() -> bytes:
    """A file that is a folder for another one."""
    return zip_of({"a": b"1", "a/b": b"2"})


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "parent": (lambda: zip_of({"../a": b"1"}), "leads outside"),
    "parent within": (lambda: zip_of({"a/../../b": b"1"}), "leads outside"),
    "parent for windows": (lambda: zip_of({"a\\..\\..\\b": b"1"}), "leads outside"),
    "absolute": (lambda: zip_of({"/etc/passwd": b"1"}), "leads outside"),
    "link": (link, "is a link"),
    "encrypted": (encrypted, "is encrypted"),
    "bomb": (lambda: zip_of({"a": bytes(100 << 20)}), "zip bomb"),
    "no archive": (lambda: b"hello", "not a zip archive"),
    "empty": (lambda: b"", "not a zip archive"),
    "huge directory": (huge_directory, "a zip archive|larger than that"),
    "same name twice": (twice, "File exists"),
    "damaged": (damaged, "can't be unpacked"),
    "lying": (lying, "can't be unpacked"),
    "file as folder": (below_a_file, "can't be written"),
    "too deep": (lambda: zip_of({"a/" * 64 + "b": b"1"}), "lies more than 64 folders deep"),
    "path too long": (lambda: zip_of({"/".join(["ä" * 100] * 6): b"1"}), "has a path of more than 1024 bytes"),
    "name too long": (lambda: zip_of({"a" * 300: b"1"}), "can't be written"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_plain_folder_is_refused_and_nothing_lies_outside(tmp_path: Path, case: str) -> None:
    make, part = REFUSED[case]
    place = tmp_path / "deep/er"
    place.mkdir(parents=True)
    (place / "archive").write_bytes(make())
    with pytest.raises(UnusableObject, match=part):
        check_and_unpack(place)
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and place / "folder" not in path.parents]
    assert outside == [place / "archive"]


def check_and_unpack(place: Path) -> None:
    """As the runtime does it."""
    unpacked_size(place / "archive", LIMIT)
    unpack(place / "archive", place / "folder")


def test_a_folder_is_unpacked_with_its_empty_folders(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(zip_of({"a/b/ä.txt": b"hello", "c.bin": b"", "d/": b""}))
    assert unpacked_size(path, LIMIT) == 5 + 3 * FOLDER_BYTES
    unpack(path, tmp_path / "folder")
    found = {item.relative_to(tmp_path / "folder").as_posix() for item in (tmp_path / "folder").rglob("*")}
    assert found == {"a", "a/b", "a/b/ä.txt", "c.bin", "d"}
    assert (tmp_path / "folder/a/b/ä.txt").read_bytes() == b"hello"


def test_a_folder_may_be_as_deep_as_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(zip_of({"a/" * 63 + "b": b"1"}))
    unpacked_size(path, LIMIT)
    unpack(path, tmp_path / "folder")
    assert tmp_path.joinpath("folder", *["a"] * 63, "b").read_bytes() == b"1"


def test_an_archive_that_unpacks_to_more_than_allowed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(zip_of({"a": b"12345", "b": b"67890"}))
    assert unpacked_size(path, 10) == 10
    with pytest.raises(InputTooLarge, match="unpacks to 10 bytes, this run may bring 9 more"):
        unpacked_size(path, 9)


def test_an_archive_of_too_many_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ENTRY_LIMIT", 3)
    path = tmp_path / "archive"
    path.write_bytes(zip_of({str(number): b"" for number in range(4)}))
    with pytest.raises(TransferFailed, match="4 entries, at most 3"):
        unpacked_size(path, LIMIT)


def test_folders_without_an_entry_count_as_those_with_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "archive"
    path.write_bytes(zip_of({"a/b/c/file": b"", "a/b/d/file": b"", "a/b/": b"", "e/": b""}))
    assert unpacked_size(path, LIMIT) == 5 * FOLDER_BYTES
    with pytest.raises(InputTooLarge, match="unpacks to 20480 bytes, this run may bring 20479 more"):
        unpacked_size(path, 5 * FOLDER_BYTES - 1)
    monkeypatch.setattr(archives, "ENTRY_LIMIT", 7)
    unpacked_size(path, LIMIT)
    monkeypatch.setattr(archives, "ENTRY_LIMIT", 6)
    with pytest.raises(InputTooLarge, match="more than 6 files and folders"):
        unpacked_size(path, LIMIT)


def test_a_few_entries_can_not_make_very_many_folders(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    path.write_bytes(zip_of({f"{number}/" + "a/" * 62 + "f": b"" for number in range(1700)}))
    with pytest.raises(InputTooLarge, match="more than 100000 files and folders"):
        unpacked_size(path, LIMIT)
