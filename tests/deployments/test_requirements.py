"""What plugins ask for is read, not run, and refused by name."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import pytest

from deployments.bundles.bases import read_bases
from deployments.bundles.environment import installed_in
from deployments.bundles.layer import Source
from deployments.bundles.requirements import to_install, wanted_by_plugins
from deployments.errors import BuildFailed
from tests.deployments.builders import archive_of

INSTALLED = {"numpy": "2.4.6", "pyyaml": "6.0.3"}


def missing(text: str, *, file: str = "requirements.txt") -> list[str]:
    archive = zipfile.ZipFile(io.BytesIO(archive_of({f"hull/{file}": text})))
    return [item.plain for item in to_install(wanted_by_plugins([Source(archive)], read_bases()[0].markers()), INSTALLED)]


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
    assert missing(text) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("torch==2.1", ["torch==2.1"]),
        ("torch>=2,<3 ; python_version < '3.12'\nonnx", ["torch<3,>=2", "onnx"]),
        ("Numpy[extra]>=2", ["Numpy[extra]>=2"]),
    ],
)
def test_what_it_lacks_is_to_be_installed(text: str, lines: list[str]) -> None:
    assert missing(text) == lines


def test_a_package_of_the_engine_in_another_version_is_a_conflict_named_with_its_plugin() -> None:
    with pytest.raises(BuildFailed) as refusal:
        missing("torch\nnumpy<2\npyyaml>7")

    assert refusal.value.reason.code == "ENGINE_CONFLICT"
    assert refusal.value.reason.detail == (
        "Plugin 'hull' needs numpy<2, but the engine's environment has 2.4.6; plugin 'hull' needs pyyaml>7, but the engine's environment has 6.0.3."
    )


@pytest.mark.parametrize(
    "line",
    [
        "-r /etc/passwd",
        "--index-url http://evil",
        "-e .",
        "./local",
        "git+https://host/x",
        "x @ file:///etc/passwd",
        "numpy>",
        "x ; 1 < 2",
        "x ; python_version ~= 'a'",
    ],
)
def test_a_line_that_is_no_plain_requirement_is_refused_with_its_place(line: str) -> None:
    with pytest.raises(BuildFailed) as refusal:
        missing(f"numpy\n{line}", file="Requirements2.txt")

    assert refusal.value.reason.code == "BAD_REQUIREMENT"
    assert "Plugin 'hull', Requirements2.txt, line 2" in refusal.value.reason.detail


def test_only_the_files_that_the_engine_reads_count() -> None:
    assert missing("torch", file="requirements-dev.txt") == []
    assert missing("torch", file="docs/requirements.txt") == []


def test_the_environment_is_read_without_running_it() -> None:
    installed = installed_in(Path(sys.prefix) / "bin" / "python")

    assert installed is not None
    assert installed["django"].startswith("5.2")


def test_an_environment_that_is_not_here_is_told_from_an_empty_one(tmp_path: Path) -> None:
    assert installed_in(tmp_path / "bin" / "python") is None
