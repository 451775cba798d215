"""The folders of runs: what a dead process left goes, what a living one holds stays, and a full disk is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime import scratch as module
from runtime.errors import DiskFull
from runtime.removal import remove_tree
from runtime.scratch import Scratch, base_folder, remove_leftovers
from tests.deep_folders import fill_deeply


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


def test_folders_of_any_depth_go_and_what_they_link_to_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    scratch = Scratch(tmp_path)
    folder = scratch.make("run")
    fill_deeply(folder, link_to=outside)
    scratch.remove(folder)
    assert not folder.exists()
    assert (outside / "file").read_text() == "x"
    scratch.close()
    assert list(tmp_path.iterdir()) == [outside]


def test_a_link_to_a_folder_is_not_taken_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    remove_tree(tmp_path / "link")
    remove_tree(tmp_path / "none")
    assert (tmp_path / "folder/file").exists()


def test_a_start_goes_on_where_leftovers_are_deep_or_can_not_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    dead = tmp_path / "runtime-dead"
    dead.mkdir()
    (dead / "lock").touch()
    fill_deeply(dead)
    Scratch(tmp_path).close()
    assert not dead.exists()
    dead.mkdir()
    (dead / "lock").touch()

    def refuse(folder: Path) -> None:
        raise RecursionError(folder)

    with monkeypatch.context() as patched:
        patched.setattr(module, "remove_tree", refuse)
        remove_leftovers(tmp_path)
    assert "runtime-dead can't be removed: RecursionError" in capfd.readouterr().out
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


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
