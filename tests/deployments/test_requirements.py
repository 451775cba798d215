"""What plugins ask for is read, not run, and refused by name."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import pytest

from deployments.bundles.layer import Source
from deployments.bundles.requirements import check_requirements, installed_in, wanted_by_plugins
from deployments.errors import BuildFailed
from tests.deployments.builders import archive_of

INSTALLED = {"numpy": "2.4.6", "pyyaml": "6.0.3"}


def check(text: str, *, file: str = "requirements.txt") -> None:
    archive = zipfile.ZipFile(io.BytesIO(archive_of({f"hull/{file}": text})))
    check_requirements(wanted_by_plugins([Source(archive)]), INSTALLED)


@pytest.mark.parametrize(
    "text",
    [
        "numpy",
        "numpy>=2,<3  # any\n\n# nothing\nPyYAML",
        "opencv-python==4.5",
        "torch ; sys_platform == 'win32'",
        "\ufeffnumpy\r\npyYAML~=6.0\r\n",
    ],
)
def test_what_the_environment_has_is_met(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("torch==2.1", "Plugin 'hull' needs torch==2.1, which is not installed."),
        ("numpy<2", "Plugin 'hull' needs numpy<2, but the engine's environment has 2.4.6."),
        ("torch\nonnx", "Plugin 'hull' needs torch, which is not installed; plugin 'hull' needs onnx, which is not installed."),
    ],
)
def test_what_is_missing_is_named_with_its_plugin(text: str, told: str) -> None:
    with pytest.raises(BuildFailed) as refusal:
        check(text)

    assert refusal.value.reason.code == "MISSING_REQUIREMENT"
    assert refusal.value.reason.detail == told


@pytest.mark.parametrize(
    "line", ["-r /etc/passwd", "--index-url http://evil", "-e .", "./local", "git+https://host/x", "x @ file:///etc/passwd", "numpy>"]
)
def test_a_line_that_is_no_plain_requirement_is_refused_with_its_place(line: str) -> None:
    with pytest.raises(BuildFailed) as refusal:
        check(f"numpy\n{line}", file="Requirements2.txt")

    assert refusal.value.reason.code == "BAD_REQUIREMENT"
    assert "Plugin 'hull', Requirements2.txt, line 2" in refusal.value.reason.detail


def test_only_the_files_that_the_engine_reads_count() -> None:
    check("torch", file="requirements-dev.txt")
    check("torch", file="docs/requirements.txt")


def test_the_environment_is_read_without_running_it() -> None:
    installed = installed_in(Path(sys.prefix) / "bin" / "python")

    assert installed is not None
    assert installed["django"].startswith("5.2")


def test_an_environment_that_is_not_here_is_told_from_an_empty_one(tmp_path: Path) -> None:
    assert installed_in(tmp_path / "bin" / "python") is None
