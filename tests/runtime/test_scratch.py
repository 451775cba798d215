"""The folders of runs: what a dead process left goes, what a living one holds stays, and a full disk is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime import scratch as module
from runtime.errors import DiskFull
from runtime.scratch import Scratch, base_folder, remove_leftovers


def test_a_runs_folder_is_its_own_and_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    folder = scratch.make("run")
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "deeper").mkdir()
    (folder / "deeper/file").write_text("x")
    scratch.remove(folder)
    assert not folder.exists()
    scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_the_dead_go_and_folders_of_the_living_stay(tmp_path: Path) -> None:
    living = Scratch(tmp_path)
    dead = tmp_path / "runtime-dead"
    (dead / "run").mkdir(parents=True)
    (dead / "lock").touch()
    (tmp_path / "runtime-of-somebody-else").mkdir()
    remove_leftovers(tmp_path)
    assert not dead.exists()
    assert living.folder.exists()
    assert (tmp_path / "runtime-of-somebody-else").exists()
    living.close()


def test_room_is_taken_before_anything_is_written(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.claim(tmp_path / "file", 5_000_000)
    assert (tmp_path / "file").stat().st_blocks * 512 >= 5_000_000
    scratch.claim(tmp_path / "empty", 0)
    assert (tmp_path / "empty").stat().st_size == 0
    scratch.close()


def test_a_full_disk_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    with pytest.raises(DiskFull, match=r"1048576\.00 GB are needed on the disk of this replica"):
        scratch.claim(tmp_path / "file", 1 << 50)
    assert not (tmp_path / "file").exists()
    scratch.close()


def test_the_base_is_the_folder_for_temporary_files_else_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert base_folder() == tmp_path
    monkeypatch.setenv("TMPDIR", os.sep)
    assert base_folder() == Path(os.sep)
    assert module.PREFIX == "runtime-"
