"""Bundles are reproducible and hold nothing but what they should."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from controlplane.projects.models import WorkflowVersion
from deployments.bundles import layer, patience
from deployments.bundles.build import named_workflow
from deployments.bundles.layer import CHUNK, Source, write_layer
from deployments.bundles.oci import pack_layer
from deployments.errors import BuildDelayed, BuildFailed
from tests.deployments.builders import zip_of

PLUGIN: dict[str, str | bytes] = {"workflow.json": "{}", "hull/hull.py": "print(1)", "hull/data/a.bin": b"\x00" * 5000}


def layer_of(archive: bytes, workflow: bytes | None = None) -> tuple[str, bytes]:
    target = io.BytesIO()
    digest, size = write_layer([Source(zipfile.ZipFile(io.BytesIO(archive)))], target, workflow)
    assert size == len(target.getvalue())
    return digest, target.getvalue()


def test_the_digest_is_that_of_the_tar() -> None:
    digest, content = layer_of(zip_of(PLUGIN))

    assert digest == hashlib.sha256(content).hexdigest()


def test_order_and_dates_of_the_archive_do_not_matter() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in reversed(PLUGIN.items()):
            archive.writestr(zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 6)), content)

    assert layer_of(stream.getvalue()) == layer_of(zip_of(PLUGIN))


def test_other_content_is_another_bundle() -> None:
    assert layer_of(zip_of(PLUGIN))[0] != layer_of(zip_of({**PLUGIN, "hull/hull.py": "print(2)"}))[0]


def test_plugins_move_to_their_place_and_leftovers_stay_out() -> None:
    _, content = layer_of(zip_of({**PLUGIN, "hull/__pycache__/hull.cpython-311.pyc": b"x", "hull/.git/config": ""}))

    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["plugins/Python/hull/data/a.bin", "plugins/Python/hull/hull.py", "workflow.json"]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in members} == {(0, 0, 0, "", 0o644)}


def test_a_workflow_that_was_pushed_without_a_name_has_one_in_its_bundle() -> None:
    version = WorkflowVersion(data={"metadata": {"name": "harbour"}, "tasks": []})
    nameless, named = ({"workflow.json": json.dumps({"metadata": metadata})} for metadata in ({}, {"name": "own"}))

    with zipfile.ZipFile(io.BytesIO(zip_of(nameless))) as archive:
        written = named_workflow(archive, version)
        assert written is not None
        _, content = layer_of(zip_of(nameless), written)
    with zipfile.ZipFile(io.BytesIO(zip_of(named))) as archive:
        assert named_workflow(archive, version) is None

    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        member = tar.extractfile("workflow.json")
        assert member is not None
        assert json.loads(member.read())["metadata"] == {"name": "harbour"}


def test_a_program_of_a_plugin_stays_executable() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("workflow.json", "{}")
        info = zipfile.ZipInfo("hull/tool")
        info.external_attr = 0o100755 << 16
        archive.writestr(info, "#!/bin/sh")

    with tarfile.open(fileobj=io.BytesIO(layer_of(stream.getvalue())[1])) as tar:
        assert tar.getmember("plugins/Python/hull/tool").mode == 0o755


@pytest.mark.parametrize("name", ["../evil.py", "/etc/passwd", "hull/../../evil.py", "hull\\..\\evil.py"])
def test_names_that_lead_outside_are_refused(name: str) -> None:
    with pytest.raises(BuildFailed) as refusal:
        layer_of(zip_of({"workflow.json": "{}", name: "x"}))

    assert refusal.value.reason.code == "BAD_ARCHIVE"


def test_an_archive_without_a_workflow_is_refused() -> None:
    with pytest.raises(BuildFailed, match=r"workflow\.json"):
        layer_of(zip_of({"hull/hull.py": ""}))


def test_a_damaged_archive_is_refused() -> None:
    archive = bytearray(zip_of(PLUGIN))
    archive[40:60] = b"\xff" * 20

    with pytest.raises(BuildFailed) as refusal:
        layer_of(bytes(archive))

    assert refusal.value.reason.code == "BAD_ARCHIVE"


def test_files_beside_the_archive_go_in_with_their_two_modes(tmp_path: Path) -> None:
    program = tmp_path / "run.sh"
    program.write_text("#!/bin/sh")
    program.chmod(0o700)
    target = io.BytesIO()
    seen: list[int] = []
    added: dict[str, Path | bytes] = {"site-packages/run.sh": program, "lock.txt": b"x==1"}

    write_layer([Source(zipfile.ZipFile(io.BytesIO(zip_of(PLUGIN))))], target, added=added, tick=lambda: seen.append(1))

    with tarfile.open(fileobj=io.BytesIO(target.getvalue())) as tar:
        members = {member.name: member.mode for member in tar.getmembers()}
    assert (members["site-packages/run.sh"], members["lock.txt"]) == (0o755, 0o644)
    assert list(members) == sorted(members)
    assert len(seen) >= len(members)


def test_a_builder_shows_that_it_lives_within_a_large_file_too(tmp_path: Path) -> None:
    """Its right to build ends after 40 s of silence; one file of weights may take longer."""
    large = tmp_path / "weights.bin"
    large.write_bytes(bytes(8 * CHUNK))
    sources = [Source(zipfile.ZipFile(io.BytesIO(zip_of({"workflow.json": "{}", "hull/weights.bin": bytes(8 * CHUNK)}))))]
    target = io.BytesIO()
    written: list[int] = []

    write_layer(sources, target, added={"site-packages/weights.bin": large}, tick=lambda: written.append(target.tell()))

    assert max(after - before for before, after in pairwise(written)) <= 2 * CHUNK


def test_packing_an_image_shows_that_it_lives_too() -> None:
    _, content = layer_of(zip_of({"workflow.json": "{}", "hull/weights.bin": bytes(8 * CHUNK)}))
    bundle, read = io.BytesIO(content), []

    pack_layer(bundle, io.BytesIO(), lambda: read.append(bundle.tell()))

    assert max(after - before for before, after in pairwise(read)) <= 2 * CHUNK


class Full(io.BytesIO):
    """A file on a disk with little room."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 3 * CHUNK:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_bundle_that_grows_too_large_ends_there_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "MAX_UNPACKED_BYTES", 2 * CHUNK)
    target = io.BytesIO()

    with pytest.raises(BuildFailed) as refusal:
        write_layer([Source(zipfile.ZipFile(io.BytesIO(zip_of(PLUGIN))))], target, added={"site-packages/a": bytes(9 * CHUNK)})

    assert refusal.value.reason.code == "BUNDLE_TOO_LARGE"
    assert "fewer or smaller packages" in refusal.value.reason.detail
    assert len(target.getvalue()) <= 2 * CHUNK


def test_a_full_disk_is_no_fault_of_the_archive() -> None:
    with pytest.raises(BuildDelayed) as delay:
        write_layer([Source(zipfile.ZipFile(io.BytesIO(zip_of(PLUGIN))))], Full(), added={"site-packages/a": bytes(9 * CHUNK)})

    assert delay.value.reason.code == "NO_BUILD_FOLDER"
    assert "Free some" in delay.value.reason.detail


def test_work_that_says_nothing_is_ticked_through_and_ends_as_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.01)
    enough = threading.Event()
    seen: list[str] = []

    def tick() -> None:
        seen.append(threading.current_thread().name)
        if len(seen) == 3:
            enough.set()

    assert patience.ticking_through(lambda: enough.wait(20), tick) is True
    assert set(seen) == {threading.current_thread().name}
    with pytest.raises(ZeroDivisionError):
        patience.ticking_through(lambda: 1 // 0, tick)
