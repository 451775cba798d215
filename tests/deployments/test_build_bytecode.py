"""Packages of a bundle come compiled: the same bytes each time, and nothing of them is run."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.bundles.bytecode import compile_packages

# Sets, shared texts and names: what an interpreter might write in another order, or with other references, from one time to the next.
SOURCE = (
    "import os\nNAMES = {'keel', 'mast', 'hull'}\ndef has(name):\n    return name in {'keel', 'mast', 'hull', ('a', 'b')}\nTEXT = 'keel'\n"
)
PYTHON = Path(sys.executable)


def packages_in(folder: Path, **files: str) -> Path:
    """Make a folder of packages."""
    for name, text in {"keel": SOURCE, **files}.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(text)
    return folder


def compiled(folder: Path) -> dict[str, str]:
    """Return the digests of what was compiled."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.pyc")}


def pyc(package: str) -> str:
    return f"{package}/__pycache__/__init__.{sys.implementation.cache_tag}.pyc"


def test_the_same_packages_give_the_same_bytes_wherever_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for seed in ("1", "2", "3"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        folder = packages_in(tmp_path / seed / "site-packages", mast=SOURCE.replace("keel", "sail"))
        assert compile_packages(folder, python=PYTHON, seconds=60)
        results.append(compiled(folder))

    assert set(results[0]) == {pyc("keel"), pyc("mast")}
    assert results[0] == results[1] == results[2]


def test_an_interpreter_takes_it_without_a_look_at_the_source(tmp_path: Path) -> None:
    folder = packages_in(tmp_path / "site-packages")
    compile_packages(folder, python=PYTHON, seconds=60)
    source = folder / "keel" / "__init__.py"
    assert importlib.util.cache_from_source(str(source)) == str(folder / pyc("keel"))
    source.write_text("raise SystemExit('read again')")

    code = f"import sys; sys.path.append({str(folder)!r}); import keel; print(keel.has('mast'), keel.has.__code__.co_filename)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", str(source)]


def test_nothing_of_a_package_is_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    run = f"open({str(trace)!r}, 'w')"
    folder = packages_in(tmp_path / "site-packages", compileall=run, sitecustomize=run, re=run)
    (folder / "evil.pth").write_text(f"import os; {run}\n")
    (folder / "os.py").write_text(run)

    assert compile_packages(folder, python=PYTHON, seconds=60)

    assert not trace.exists()
    assert (folder / pyc("keel")).exists()


def test_a_file_that_is_no_python_leaves_the_others_compiled(tmp_path: Path) -> None:
    folder = packages_in(tmp_path / "site-packages", old="print 'of another Python'")

    assert compile_packages(folder, python=PYTHON, seconds=60)

    assert set(compiled(folder)) == {pyc("keel")}


def test_what_a_package_brought_compiled_is_not_trusted(tmp_path: Path) -> None:
    folder = packages_in(tmp_path / "site-packages", old="print 'of another Python'")
    for package in ("keel", "old"):
        foreign = folder / pyc(package)
        foreign.parent.mkdir()
        foreign.write_bytes(b"something else")

    compile_packages(folder, python=PYTHON, seconds=60)

    assert set(compiled(folder)) == {pyc("keel")}
    assert (folder / pyc("keel")).read_bytes() != b"something else"


def test_a_compiler_that_dies_leaves_nothing_half_done(tmp_path: Path) -> None:
    folder = packages_in(tmp_path / "site-packages")
    dying = tmp_path / "python"
    dying.write_text(f"#!/bin/sh\nmkdir {folder / 'keel' / '__pycache__'}\necho half > {folder / pyc('keel')}\nkill -9 $$\n")
    dying.chmod(0o755)

    assert not compile_packages(folder, python=dying, seconds=60)

    assert compiled(folder) == {}
