"""Bundles are reproducible and hold nothing but what they should."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from controlplane.projects.models import WorkflowVersion
from deployments.bundles.build import named_workflow
from deployments.bundles.layer import Source, write_layer
from deployments.errors import BuildFailed
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
    assert len(seen) == len(members)
