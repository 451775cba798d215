"""File names in an archive: none may leave its folder, hide, or be another file's name on some machine."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from controlplane.projects.archive import check_archive
from tests.projects.archives import SOUND, refusal, zipped

UNSAFE = {
    "../escape.py": ("unsafe_name", "climbs out"),
    "plugin/../../escape.py": ("unsafe_name", "climbs out"),
    "..": ("unsafe_name", "climbs out"),
    "/etc/passwd": ("unsafe_name", "absolute"),
    "//server/share": ("unsafe_name", "absolute"),
    "C:/windows/system.ini": ("unsafe_name", "drive letter"),
    "c:boot.ini": ("unsafe_name", "drive letter"),
    "plugin\\module.py": ("unsafe_name", "backslash"),
    "..\\escape.py": ("unsafe_name", "backslash"),
    "plugin//module.py": ("unsafe_name", "empty part"),
    "./module.py": ("unsafe_name", "lone dot"),
    "plugin/./module.py": ("unsafe_name", "lone dot"),
    "line\nbreak.py": ("unsafe_name", "control character"),
    "bell\x07.py": ("unsafe_name", "\\u0007"),
    " ": ("unsafe_name", "empty"),
    "n" * 256: ("name_too_long", "255 for each"),
    "é" * 128: ("name_too_long", "255 for each"),
    "/".join(["folder"] * 33): ("name_too_long", "32 levels"),
    "/".join(["f" * 200] * 6): ("name_too_long", "1024 bytes"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_is_no_plain_relative_path_is_refused(name: str) -> None:
    code, part = UNSAFE[name]
    refused = refusal(zipped({"workflow.json": json.dumps(SOUND), name: "x"}))
    assert refused.code == code
    assert part in refused.detail


def raw_named(name: bytes, *, flags: int = 0) -> bytes:
    """An archive with a second file whose name is exactly these bytes."""
    archive = zipped({"workflow.json": json.dumps(SOUND), "n" * len(name): "x"})
    archive = archive.replace(b"n" * len(name), name)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = archive.rindex(signature) + offset
        archive = archive[:at] + flags.to_bytes(2, "little") + archive[at + 2 :]
    return archive


def test_a_null_cannot_hide_the_end_of_a_name() -> None:
    assert refusal(raw_named(b"notes.txt\0.py")).code == "unsafe_name"


def test_a_name_that_is_not_utf8_as_it_says_is_refused() -> None:
    refused = refusal(raw_named(b"caf\xe9.txt", flags=0x800))
    assert (refused.code, "UTF-8" in refused.detail) == ("unsafe_name", True)


def test_an_old_zip_name_outside_ascii_is_accepted() -> None:
    assert check_archive(io.BytesIO(raw_named(b"caf\x82.txt"))).files == 2


PAIRS = {
    "letter case": ("Model.bin", "model.bin", "ambiguous_name"),
    "case of a folder": ("Plugin/a.py", "plugin/b.py", "ambiguous_name"),
    "composed and decomposed letters": ("caf\u00e9.txt", "cafe\u0301.txt", "ambiguous_name"),
    "sharp s": ("stra\u00dfe.txt", "STRASSE.txt", "ambiguous_name"),
    "file and folder": ("data", "data/x.txt", "ambiguous_name"),
    "folder and file": ("data/x.txt", "data", "ambiguous_name"),
    "empty folder and file": ("data/", "data", "duplicate_name"),
    "case of workflow.json": ("Workflow.json", "x", "ambiguous_name"),
}


@pytest.mark.parametrize("case", PAIRS)
def test_names_that_may_be_one_file_are_refused(case: str) -> None:
    first, second, code = PAIRS[case]
    refused = refusal(zipped({"workflow.json": json.dumps(SOUND), first: "", second: ""}))
    assert refused.code == code


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["workflow.json", "notes.txt", "folder/"])
def test_a_name_twice_is_refused(name: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for twice in ("workflow.json", name, name):
            archive.writestr(twice, json.dumps(SOUND) if not twice.endswith("/") else "")
    refused = refusal(packed.getvalue())
    assert refused.code == "duplicate_name"
    assert name.rstrip("/") in refused.detail


def test_names_with_spaces_dots_and_letters_of_any_script_are_accepted() -> None:
    names = ["read me.txt", ".hidden", "..dots", "weights.v1.2.bin", "図/写真.png", "12:30.txt", "__MACOSX/._workflow.json"]
    checked = check_archive(io.BytesIO(zipped({"workflow.json": json.dumps(SOUND), **dict.fromkeys(names, "x")})))
    assert checked.files == len(names) + 1


def test_a_name_is_shown_so_that_no_terminal_acts_on_it() -> None:
    refused = refusal(zipped({"workflow.json": json.dumps(SOUND), "../[/red]\x1b[2J" + "x" * 300: ""}))
    assert "\x1b" not in refused.detail
    assert "[/" not in refused.detail
    assert len(refused.detail) < 400
