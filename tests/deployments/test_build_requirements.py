"""Requirements of plugins become a lock and a folder of packages; what cannot be is told by code, plugin and requirement."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deployments.bundles import resolve, room
from deployments.bundles.bases import read_bases
from deployments.bundles.packages import packaged_files, tidy
from deployments.bundles.requirements import Wanted
from deployments.bundles.resolve import Installer, workshop
from deployments.bundles.tool import Output, run_installer
from deployments.errors import BuildDelayed, BuildFailed
from deployments.states import NEXT_STEPS
from tests.deployments.wheels import make_wheel, serve_index

ENGINE = {"numpy": "2.4.6", "ikomia": "0.16.1"}


@pytest.fixture(autouse=True)
def wheels(tmp_path: Path, settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages, and nothing else to take any from."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "hullmaker", "1.0")
    make_wheel(folder, "hullmaker", "2.0", needs=["keel>=1"])
    make_wheel(folder, "keel", "1.5", needs=["numpy>=1", "opencv-python", "ikomia"])
    make_wheel(folder, "numpy", "2.4.6")
    make_wheel(folder, "numpy", "1.26.0")
    make_wheel(folder, "oldtimer", "1.0", needs=["numpy<2"])
    make_wheel(folder, "future", "1.0", python=">=3.13")
    make_wheel(folder, "foreign", "1.0", tag="cp311-cp311-win_amd64")
    make_wheel(folder, "deep", "1.0", needs=["absent>=3"])
    make_wheel(folder, "linked", "1.0", needs=["keel @ http://127.0.0.1:9/keel-1.5-py3-none-any.whl"])
    (folder / "source-1.0.tar.gz").write_bytes(b"never unpacked")
    settings.PACKAGE_INDEX_URL, settings.PACKAGE_FOLDER = "none", str(folder)
    settings.BUILD_FOLDER = str(tmp_path / "build")
    settings.RUNTIME_PYTHON = str(tmp_path / "no-environment" / "bin" / "python")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    return folder


@pytest.fixture
def notes() -> list[str]:
    """What the build log would hold."""
    return []


@pytest.fixture
def installer(notes: list[str]) -> Iterator[Installer]:
    """An installer for the one base of the table."""
    with workshop() as (folder, cache):
        yield Installer(read_bases()[0], ENGINE, folder, cache, lambda text, *_: notes.append(text), lambda: None)


def wanted(**plugins: str) -> list[Wanted]:
    return [Wanted(plugin, Requirement(line)) for plugin, lines in plugins.items() for line in lines.split(" | ")]


def test_the_lock_holds_exact_versions_with_hashes_and_nothing_of_the_engine(installer: Installer) -> None:
    lock = installer.resolve(wanted(hull="hullmaker>=2", mast="keel[sails]"))

    assert [line.split()[0] for line in lock.splitlines() if "==" in line] == ["hullmaker==2.0", "keel==1.5"]
    assert lock.count("--hash=sha256:") == 2
    assert "http" not in lock


def test_what_is_installed_can_be_imported_and_leaves_no_trace_of_its_installation(installer: Installer, notes: list[str]) -> None:
    asked = wanted(hull="hullmaker>=2")
    folder = installer.install(installer.resolve(asked), asked)
    tidy(folder)

    names = sorted(packaged_files(folder))
    assert names == [
        *(f"site-packages/hullmaker-2.0.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")),
        "site-packages/hullmaker/__init__.py",
        *(f"site-packages/keel-1.5.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")),
        "site-packages/keel/__init__.py",
    ]
    record = (folder / "keel-1.5.dist-info" / "RECORD").read_text().splitlines()
    assert [row.split(",")[0] for row in record] == [
        *(f"keel-1.5.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")),
        "keel/__init__.py",
    ]
    assert "Installed keel==1.5" in notes


def test_what_is_installed_is_compiled_for_the_runtime_where_that_is_the_same_python(
    installer: Installer, notes: list[str], settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RUNTIME_PYTHON = sys.executable
    asked = wanted(hull="keel")
    lock = installer.resolve(asked)
    monkeypatch.setattr(resolve, "python_version", lambda python: f"{installer.base.python}.99")

    folder = installer.install(lock, asked)
    tidy(folder)

    compiled = f"keel/__pycache__/__init__.{sys.implementation.cache_tag}.pyc"
    assert f"site-packages/{compiled}" in packaged_files(folder)
    assert compiled not in (folder / "keel-1.5.dist-info" / "RECORD").read_text()
    assert "Compiled" in notes
    monkeypatch.setattr(resolve, "python_version", lambda python: "3.8.1")
    folder = installer.install(lock, asked)
    assert not list(folder.rglob("*.pyc"))


REFUSED = {
    "no such package": ({"hull": "nothere>=1"}, "NOT_FOUND", "Plugin 'hull' needs nothere>=1: there is no such package"),
    "deep down": ({"hull": "deep"}, "NOT_FOUND", "absent"),
    "no such version": ({"hull": "hullmaker==9.9"}, "NO_VERSION", "Plugin 'hull' needs hullmaker==9.9: there is no such version"),
    "not that new": ({"hull": "hullmaker>=9"}, "NO_VERSION", "Plugin 'hull' needs hullmaker>=9: there is no such version"),
    "against the engine": ({"hull": "oldtimer"}, "ENGINE_CONFLICT", "Plugin 'hull' needs oldtimer: the engine holds numpy 2.4.6"),
    "against each other": (
        {"hull": "hullmaker>=2 | keel", "mast": "hullmaker<2"},
        "PLUGIN_CONFLICT",
        "Plugin 'hull' needs hullmaker>=2; Plugin 'mast' needs hullmaker<2: together",
    ),
    "against itself": ({"hull": "hullmaker>=2 | hullmaker<2"}, "PLUGIN_CONFLICT", "together"),
    "no wheel": ({"hull": "source"}, "NO_WHEEL", "Plugin 'hull' needs source: it comes without a wheel"),
    "another system": ({"hull": "foreign"}, "NO_WHEEL", "Plugin 'hull' needs foreign: it comes without a wheel"),
    "another Python": ({"hull": "future"}, "WRONG_PYTHON", "Plugin 'hull' needs future: it is for another Python"),
    "an address": ({"hull": "linked"}, "BAD_REQUIREMENT", "linked"),
    "not readable": ({"hull": 'keel===a"b'}, "BAD_REQUIREMENT", "Plugin 'hull' needs keel"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_resolved_is_told_with_plugin_and_requirement(installer: Installer, name: str) -> None:
    plugins, code, told = REFUSED[name]

    with pytest.raises(BuildFailed) as refusal:
        installer.resolve(wanted(**plugins))

    assert refusal.value.reason.code == code
    assert told in refusal.value.reason.detail
    assert "slipway-plugin" not in refusal.value.reason.detail
    assert NEXT_STEPS[code].endswith(".")


def test_an_index_that_fails_is_waited_for_and_its_credentials_stay_secret(installer: Installer, wheels: Path, settings) -> None:
    settings.PACKAGE_FOLDER = ""
    with serve_index(wheels) as (address, index):
        settings.PACKAGE_INDEX_URL = address
        index.status = 404
        with pytest.raises(BuildFailed, match="there is no such package"):
            installer.resolve(wanted(hull="hullmaker"))
        index.status = 403
        with pytest.raises(BuildDelayed) as delay:
            fresh(installer).resolve(wanted(hull="keel<1.5"))
    with pytest.raises(BuildDelayed) as silent:
        fresh(installer).resolve(wanted(hull="oldtimer"))

    assert {delay.value.reason.code, silent.value.reason.code} == {"INDEX_DOWN"}
    assert "hush" not in delay.value.detail + silent.value.detail


def fresh(installer: Installer) -> Installer:
    """The same with an empty folder."""
    folder = installer.folder / "again"
    while folder.exists():
        folder = folder / "again"
    folder.mkdir()
    return Installer(installer.base, installer.engine, folder, installer.cache, installer.note, installer.tick)


def test_packages_come_from_the_index_of_the_settings(installer: Installer, wheels: Path, settings) -> None:
    settings.PACKAGE_FOLDER = ""
    asked = wanted(hull="hullmaker<2")
    with serve_index(wheels) as (settings.PACKAGE_INDEX_URL, index):
        lock = installer.resolve(asked)
        folder = installer.install(lock, asked)

    assert "127.0.0.1" not in lock
    assert (folder / "hullmaker" / "__init__.py").read_text() == "VERSION = '1.0'\n"
    assert "/files/hullmaker-1.0-py3-none-any.whl" in index.asked


def test_a_package_whose_bytes_are_not_those_of_the_lock_is_refused(installer: Installer) -> None:
    asked = wanted(hull="hullmaker<2")
    lock = installer.resolve(asked)
    lock = re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", lock)

    with pytest.raises(BuildFailed) as refusal:
        installer.install(lock, asked)

    assert refusal.value.reason.code == "INSTALL_FAILED"
    assert "hullmaker" in refusal.value.reason.detail


def test_an_installer_that_takes_too_long_is_stopped_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path, monkeypatch, "exec 9>held; sleep 600 & wait")
    os.mkfifo(tmp_path / "held")
    with open(os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK), "rb") as held:
        with pytest.raises(BuildFailed) as refusal:
            run_installer([], folder=tmp_path, cache=tmp_path, seconds=0.1)
        os.set_blocking(held.fileno(), True)
        assert held.read() == b""  # its end comes when nobody is left who could write

    assert refusal.value.reason.code == "TIMEOUT"


def pretend(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program in the installer's place."""
    program = folder / "installer"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("deployments.bundles.tool.find_uv_bin", lambda: str(program))


def test_the_installer_gets_no_secret_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(tmp_path, monkeypatch, "env")
    monkeypatch.setenv("SECRET_KEY", "hush")

    _, lines = run_installer([], folder=tmp_path, cache=tmp_path, seconds=30)

    assert "UV_NO_PROGRESS=1" in lines
    assert not [line for line in lines if "SECRET_KEY" in line or "DATABASE_URL" in line]


def test_lines_come_whole_without_colours_and_credentials() -> None:
    seen: list[str] = []
    output = Output(seen.append)

    output.feed(b"\x1b[31mget https://me:hush@host/sim")
    assert seen == []
    output.feed(b"ple\x1b[0m\n\n\xffend")
    output.end()

    assert seen == ["get https://host/simple", "\ufffdend"]


def test_downloads_are_kept_up_to_their_bound(installer: Installer) -> None:
    asked = wanted(hull="hullmaker")
    installer.install(installer.resolve(asked), asked)
    kept = sum(resolve.sizes_below(installer.cache))
    resolve.bound_cache(installer.cache, kept)
    assert sum(resolve.sizes_below(installer.cache)) == kept > 0

    resolve.bound_cache(installer.cache, kept - 1)

    assert sum(resolve.sizes_below(installer.cache)) == 0


def aged(folder: Path) -> None:
    """Let a folder have been made an hour ago."""
    when = time.time() - 3600
    os.utime(folder, (when, when))


def test_nothing_of_a_build_stays_behind_even_of_one_that_was_killed(tmp_path: Path) -> None:
    root = tmp_path / "build"
    code = "import os, sys, django; django.setup(); from deployments.bundles.resolve import workshop\n"
    code += "with workshop() as (folder, _): (folder / 'wheel').touch(); os.kill(os.getpid(), 9)"
    environment = {**os.environ, "BUILD_FOLDER": str(root), "DJANGO_SETTINGS_MODULE": "controlplane.settings"}
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=environment, check=False)
    (killed,) = root.glob("build-*")
    aged(killed)
    with workshop() as (running, _):
        assert not killed.exists()
        aged(running)

        with workshop() as (folder, _):
            assert running.is_dir()
            assert folder.is_dir()

    assert [path.name for path in root.iterdir()] == ["cache"]


def test_a_folder_that_another_worker_is_just_making_stays(tmp_path: Path) -> None:
    made, left = tmp_path / "build" / "build-made", tmp_path / "build" / "build-left"
    for folder in (made, left):
        folder.mkdir(parents=True)
    aged(left)

    with workshop():
        assert made.exists()
        assert not left.exists()


def test_packages_that_take_too_much_room_end_the_installation_and_say_what_to_do(
    installer: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, "head -c 3000000 /dev/zero > weights.bin; sleep 60")
    monkeypatch.setattr(resolve, "MAX_UNPACKED_BYTES", 2_000_000)
    monkeypatch.setattr(resolve, "MEASURE_SECONDS", 0.0)

    with pytest.raises(BuildFailed) as refusal:
        installer.run([])

    assert refusal.value.reason.code == "BUNDLE_TOO_LARGE"
    assert "fewer or smaller packages" in refusal.value.reason.detail


def test_a_disk_with_little_room_delays_a_build_before_it_is_full(
    installer: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, "sleep 60")
    monkeypatch.setattr(room, "LEAST_FREE_BYTES", 2**62)
    monkeypatch.setattr(resolve, "MEASURE_SECONDS", 0.0)

    with pytest.raises(BuildDelayed) as delay:
        installer.run([])

    assert delay.value.reason.code == "NO_BUILD_FOLDER"
    assert str(tmp_path / "build") in delay.value.reason.detail


def test_a_full_disk_is_told_as_such_and_the_downloads_go(tmp_path: Path) -> None:
    wheel = tmp_path / "build" / "cache" / "wheel"

    def fill() -> None:
        with workshop():
            wheel.write_bytes(bytes(1000))
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BuildDelayed) as delay:
        fill()

    assert delay.value.reason.code == "NO_BUILD_FOLDER"
    assert not wheel.exists()


def test_what_the_installer_says_of_a_full_disk_is_no_fault_of_a_package(
    installer: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, "echo 'error: failed to write to file: No space left on device (os error 28)'; exit 2")

    with pytest.raises(BuildDelayed) as delay:
        installer.resolve(wanted(hull="hullmaker"))

    assert delay.value.reason.code == "NO_BUILD_FOLDER"


@pytest.mark.parametrize("said", ["", "public"])
def test_the_public_index_is_the_one_that_the_installer_asks_by_itself(
    installer: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings, said: str
) -> None:
    pretend(tmp_path, monkeypatch, 'echo "$@"; env')
    settings.PACKAGE_INDEX_URL, settings.PACKAGE_FOLDER = said, ""

    _, lines = installer.run([])

    assert not [line for line in lines if line.startswith("UV_DEFAULT_INDEX") or "--no-index" in line]


def test_credentials_of_the_index_are_on_no_command_line(
    installer: Installer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings
) -> None:
    pretend(tmp_path, monkeypatch, 'echo "$@"; env')
    settings.PACKAGE_INDEX_URL, settings.PACKAGE_FOLDER = "https://me:hush@index.test/simple", ""

    _, lines = installer.run([])
    assert not [line for line in lines if "hush" in line]
    assert "UV_DEFAULT_INDEX=https://index.test/simple" in lines  # credentials are cut from whatever it says
    assert "index.test" not in lines[0]


@pytest.mark.parametrize(
    "make", [lambda path: path.symlink_to("/etc/passwd"), lambda path: path.symlink_to("/etc")], ids=["file", "folder"]
)
def test_a_package_with_links_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "installed").mkdir()
    make(tmp_path / "installed" / "link")

    with pytest.raises(BuildFailed, match="no plain file"):
        tidy(tmp_path / "installed")
