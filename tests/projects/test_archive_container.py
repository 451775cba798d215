"""The zip around a workflow: whatever is cut, forged or explosive is refused before anything is unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import random
import stat
import struct
import time
import tracemalloc
import zipfile
import zlib

import pytest

from controlplane.projects.archive import ArchiveLimits, check_archive
from tests.projects.archives import SOUND, pushed, refusal, zipped

WORKFLOW = {"workflow.json": json.dumps(SOUND)}
CENTRAL = b"PK\x01\x02"
END = b"PK\x05\x06"


def patched(archive: bytes, signature: bytes, offset: int, value: bytes, *, nth: int = 0) -> bytes:
    """`archive` with bytes replaced at `offset` behind the nth occurrence of a record's signature."""
    at = -1
    for _ in range(nth + 1):
        at = archive.index(signature, at + 1)
    at += offset
    return archive[:at] + value + archive[at + len(value) :]


def short(value: int) -> bytes:
    return struct.pack("<H", value)


def long(value: int) -> bytes:
    return struct.pack("<L", value)


def with_entry(entry: zipfile.ZipInfo, contents: bytes = b"x") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("workflow.json", WORKFLOW["workflow.json"])
        archive.writestr(entry, contents)
    return packed.getvalue()


def special(kind: int, name: str = "special") -> bytes:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    return with_entry(entry, b"/etc/passwd" if not name.endswith("/") else b"")


SOUND_ZIP = zipped({**WORKFLOW, "notes.txt": "a" * 500})

BROKEN = {
    "nothing at all": (b"", "archive_empty", "no byte arrived"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(300), "not_a_zip", "not a zip"),
    "a tar of something": (b"workflow.json" + bytes(1011), "not_a_zip", "Pack the archive again"),
    "cut in the middle": (SOUND_ZIP[: len(SOUND_ZIP) // 2], "zip_truncated", "cut off"),
    "cut by one byte": (SOUND_ZIP[:-1], "zip_truncated", "cut off"),
    "something appended": (SOUND_ZIP + b"tail", "zip_broken", "data behind its end record"),
    "something in front": (b"#!/bin/sh\n" + SOUND_ZIP, "zip_broken", "not where its end record says"),
    "first of two disks": (patched(SOUND_ZIP, END, 4, short(1)), "zip_multi_disk", "split"),
    "files on another disk": (patched(SOUND_ZIP, END, 8, short(1)), "zip_multi_disk", "split"),
    "one file on another disk": (patched(SOUND_ZIP, CENTRAL, 34, short(1)), "zip_multi_disk", "another part"),
    "more files announced": (patched(SOUND_ZIP, END, 8, short(3) * 2), "zip_broken", "table of contents is damaged"),
    "fewer files announced": (patched(SOUND_ZIP, END, 8, short(1) * 2), "zip_broken", "more or less than it announces"),
    "zip64 figures promised but absent": (patched(SOUND_ZIP, END, 8, short(0xFFFF) * 2), "too_many_files", "65535"),
    "directory elsewhere": (patched(SOUND_ZIP, END, 16, long(3)), "zip_broken", "not where"),
    "damaged table of contents": (patched(SOUND_ZIP, CENTRAL, 0, b"XXXX"), "zip_broken", "damaged"),
    "a version that nobody reads": (patched(SOUND_ZIP, CENTRAL, 6, short(99)), "zip_broken", "damaged"),
    "encrypted": (patched(SOUND_ZIP, CENTRAL, 8, short(1)), "zip_encrypted", "without a password"),
    "encrypted only in the local header": (patched(SOUND_ZIP, b"PK\x03\x04", 6, short(1)), "zip_broken", "contradicts"),
    "deflate64": (patched(SOUND_ZIP, CENTRAL, 10, short(9)), "zip_compression", '"deflate64"'),
    "an unknown method": (patched(SOUND_ZIP, CENTRAL, 10, short(77)), "zip_compression", '"method 77"'),
    "bzip2": (zipped(WORKFLOW, method=zipfile.ZIP_BZIP2), "zip_compression", '"bzip2"'),
    "lzma": (zipped(WORKFLOW, method=zipfile.ZIP_LZMA), "zip_compression", "deflate and stored"),
    "header outside the files": (patched(SOUND_ZIP, CENTRAL, 42, long(2**31), nth=1), "zip_broken", "outside"),
    "header of another file": (patched(SOUND_ZIP, CENTRAL, 42, long(0), nth=1), "zip_overlap", "zip bomb"),
    "another name in the header": (patched(SOUND_ZIP, b"PK\x03\x04", 30, b"X"), "zip_broken", "contradicts"),
    "data past the end": (patched(SOUND_ZIP, CENTRAL, 20, long(10**6), nth=1), "zip_broken", "runs past"),
    "wrong checksum": (patched(SOUND_ZIP, CENTRAL, 16, long(7), nth=1), "zip_checksum", '"notes.txt"'),
    "more inside than told": (patched(SOUND_ZIP, CENTRAL, 24, long(499), nth=1), "zip_size_mismatch", "notes.txt"),
    "less inside than told": (patched(SOUND_ZIP, CENTRAL, 24, long(501), nth=1), "zip_size_mismatch", "size it declares"),
    "packed size too small": (patched(SOUND_ZIP, CENTRAL, 20, long(3), nth=1), "zip_size_mismatch", "packed size"),
    "no end of the packed data": (patched(SOUND_ZIP, b"notes.txt", 9, b"\xff\xff"), "zip_checksum", "cannot be unpacked"),
    "stored with two sizes": (
        patched(zipped(WORKFLOW, method=zipfile.ZIP_STORED), CENTRAL, 24, long(5)),
        "zip_size_mismatch",
        "contradict each other",
    ),
    "symbolic link": (special(stat.S_IFLNK), "special_file", "a symbolic link"),
    "pipe": (special(stat.S_IFIFO), "special_file", "a device, pipe or socket"),
    "device": (special(stat.S_IFBLK), "special_file", "files and folders only"),
    "file that is a folder": (special(stat.S_IFDIR), "special_file", "as a file and as a folder"),
    "folder that is a file": (special(stat.S_IFREG, "special/"), "special_file", "as a file and as a folder"),
    "folder with damaged contents": (
        patched(zipped({"folder/": "", **WORKFLOW}), b"folder/", 7, b"\x07"),
        "zip_checksum",
        '"folder/"',
    ),
    "folder with contents": (with_entry(zipfile.ZipInfo("folder/"), b"xyz"), "zip_size_mismatch", '"folder/"'),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_zip_that_is_not_sound_is_refused_with_its_reason(case: str) -> None:
    archive, code, part = BROKEN[case]
    refused = refusal(archive)
    assert (refused.code, refused.status) == (code, 400)
    assert part in refused.detail


SMALL = ArchiveLimits(
    archive_bytes=3_000_000,
    unpacked_bytes=4_000_000,
    file_bytes=2_500_000,
    entries=20,
    directory_bytes=2_000,
    ratio=50,
    ratio_from_bytes=10_000,
    workflow_bytes=4_000,
)
NOISE = random.Random(1).randbytes(3_000_000)

TOO_MUCH: dict[str, tuple[dict[str, str | bytes], str, str]] = {
    "archive": ({"noise": NOISE}, "archive_too_large", "2.9 MiB"),
    "one file": ({"noise": NOISE[:2_600_000]}, "file_too_large", "2.5 MiB"),
    "all files": ({f"{i}": NOISE[:900_000] + bytes(600_000) for i in range(3)}, "unpacked_too_large", "4.3 MiB"),
    "one bomb": ({"zeros": bytes(2_000_000)}, "compression_ratio", "more than 50 times"),
    "many small bombs": ({f"{i}": bytes(9_900) for i in range(19)}, "compression_ratio", "zip bomb"),
    "number of files": ({f"{i}": "" for i in range(21)}, "too_many_files", "20 are allowed"),
    "long names": ({f"{i}" + "n" * 150: "" for i in range(19)}, "too_many_files", "2.0 KiB are allowed"),
    "workflow": ({"workflow.json": json.dumps(SOUND) + " " * 4_000}, "workflow_too_large", "3.9 KiB are allowed"),
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_an_archive_over_a_limit_is_refused_with_the_limit(case: str) -> None:
    files, code, part = TOO_MUCH[case]
    refused = refusal(zipped({**WORKFLOW, **files}), limits=SMALL)
    assert refused.code == code
    assert part in refused.detail


def test_a_bomb_that_lies_about_its_size_is_stopped_at_the_size_it_tells() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(200)) + deflate.flush()
    archive = zipped({**WORKFLOW, "bomb": NOISE[: len(packed)]}, method=zipfile.ZIP_STORED)
    at = archive.index(b"bomb") + 4
    archive = archive[:at] + packed + archive[at + len(packed) :]
    archive = patched(archive, CENTRAL, 10, short(8), nth=1)
    archive = patched(archive, b"PK\x03\x04", 8, short(8), nth=1)
    tracemalloc.start()
    refused = refusal(archive)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.code == "zip_size_mismatch"
    assert peak < 4_000_000


def test_a_large_archive_is_read_in_pieces() -> None:
    archive = io.BytesIO(zipped({**WORKFLOW, "weights.bin": NOISE * 10}, method=zipfile.ZIP_STORED))
    tracemalloc.start()
    checked = check_archive(archive)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert checked.unpacked_size > 30_000_000
    assert peak < 4_000_000


def test_a_table_of_contents_at_the_limit_is_read_quickly() -> None:
    archive = zipped({**WORKFLOW, **{f"plugin/data/{number:05}.txt": "x" for number in range(9_999)}})
    start = time.process_time()
    assert check_archive(io.BytesIO(archive)).files == 10_000
    assert time.process_time() - start < 20


def test_a_zip64_archive_is_read_like_any_other_but_may_not_contradict_itself() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("workflow.json", "w", force_zip64=True) as file:
        file.write(WORKFLOW["workflow.json"].encode())
    honest = as_zip64(packed.getvalue())
    assert check_archive(io.BytesIO(honest)).name == "edges"
    forged = {
        "other count": patched(honest, b"PK\x06\x06", 24, struct.pack("<QQ", 2, 2)),
        "other disk": patched(honest, b"PK\x06\x06", 16, long(1)),
        "other length": patched(honest, b"PK\x06\x06", 4, struct.pack("<Q", 50)),
        "other place": patched(honest, b"PK\x06\x07", 8, struct.pack("<Q", 3)),
        "no record": patched(honest, b"PK\x06\x06", 0, b"XXXX"),
    }
    assert {case: refusal(archive).code for case, archive in forged.items()} == dict.fromkeys(forged, "zip_broken")
    assert refusal(patched(honest, b"PK\x06\x07", 16, long(2))).code == "zip_multi_disk"


def as_zip64(archive: bytes) -> bytes:
    """`archive` with a zip64 end record that repeats the figures of its end record."""
    at = archive.rindex(END)
    count, size, offset = struct.unpack_from("<HLL", archive, at + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    return archive[:at] + record + locator + archive[at:]


def test_a_zip_in_the_archive_is_a_file_like_any_other() -> None:
    inner = zipped({"../../escape": "x" * 100})
    assert check_archive(io.BytesIO(zipped({**WORKFLOW, "inner.zip": inner}))).files == 2


def test_folders_comments_and_stored_files_are_accepted() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.comment = b"made by hand"
        archive.writestr("empty/", "")
        archive.writestr("workflow.json", WORKFLOW["workflow.json"])
    checked = check_archive(io.BytesIO(packed.getvalue()))
    assert checked.files == 1
    assert checked.size == len(packed.getvalue())


def test_the_stream_is_left_at_its_start_and_its_hash_is_that_of_the_bytes() -> None:
    stream = io.BytesIO(pushed())
    stream.seek(100)
    assert check_archive(stream).sha256 == hashlib.sha256(stream.getvalue()).hexdigest()
    assert stream.tell() == 0
