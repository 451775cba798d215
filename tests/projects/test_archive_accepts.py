"""Archives from the real makers: the public command line client, the examples, the engine's own list of algorithms."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from controlplane.projects.archive import check_archive, pack_folder
from controlplane.projects.archive.algorithms import NEVER_RUN, built_in_algorithms
from tests.projects.archives import PLUGIN, SOUND, changed, task

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / ".venvs/ikomia/bin/python"
ENGINE = ROOT / "runtime/.venv/bin/python"
EXAMPLES = ROOT / "controlplane/projects/examples"

PACK = """
import shutil, sys
from pathlib import Path
from ikcli.workflows.archive import Archive
with Archive(Path(sys.argv[1])) as packed:
    shutil.copyfile(packed, sys.argv[2])
"""
LIST = """
import json, sys
from pathlib import Path
from ikomia.dataprocess.registry import ik_registry
Path(sys.argv[1]).write_text(json.dumps(sorted(ik_registry.get_algorithms())))
"""


def run(interpreter: Path, code: str, *arguments: Path, home: Path) -> None:
    """Run code in another environment; its output is shown when it fails."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "IKOMIA_AUTO_COMPLETION": "0"}
    done = subprocess.run([interpreter, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def packed_by_client(tmp_path: Path, workflow: dict[str, object]) -> io.BytesIO:
    saved, packed = tmp_path / "saved.json", tmp_path / "packed.zip"
    saved.write_text(json.dumps(workflow))
    run(CLIENT, PACK, saved, packed, home=tmp_path)
    return io.BytesIO(packed.read_bytes())


@pytest.mark.skipif(not CLIENT.exists(), reason="the public client is not installed")
def test_an_archive_of_the_public_client_is_accepted(tmp_path: Path) -> None:
    plugin, model = tmp_path / "installed" / "find_boxes", tmp_path / "weights v1.onnx"
    (plugin / "data").mkdir(parents=True)
    for name in ("__init__.py", "find_boxes.py", "find_boxes_process.py", "data/labels.txt", "Lisez-moi \u00e9t\u00e9.md"):
        (plugin / name).write_text(PLUGIN)
    model.write_bytes(b"weights")
    parameters = [{"name": "labels", "value": str(plugin / "data/labels.txt")}, {"name": "model", "value": str(model)}]
    found = task(1, "find_boxes", language=1, url=plugin.as_uri(), parameters=parameters)
    checked = check_archive(packed_by_client(tmp_path, changed(lambda w: w["tasks"].__setitem__(1, found))))
    assert checked.plugins == ("find_boxes",)
    assert checked.files == 7
    pushed = checked.data["tasks"][1]["task_data"]
    assert pushed["url"] == "file://find_boxes"
    assert [parameter["value"] for parameter in pushed["parameters"]] == [
        "file://find_boxes/data/labels.txt",
        "file://find_boxes/data/weights v1.onnx",
    ]


@pytest.mark.skipif(not CLIENT.exists(), reason="the public client is not installed")
def test_a_workflow_without_plugins_packed_by_the_public_client_is_accepted(tmp_path: Path) -> None:
    assert check_archive(packed_by_client(tmp_path, SOUND)).data == SOUND


@pytest.mark.skipif(not ENGINE.exists(), reason="the engine is not installed")
def test_the_list_of_built_in_algorithms_is_the_list_of_the_installed_engine(tmp_path: Path) -> None:
    run(ENGINE, LIST, tmp_path / "names.json", home=tmp_path)
    listed = set(json.loads((tmp_path / "names.json").read_text()))
    assert listed == built_in_algorithms()
    assert set(NEVER_RUN) < listed


def test_every_code_of_a_refusal_is_described() -> None:
    package = ROOT / "controlplane/projects/archive"
    raised = re.compile(r'(?:InvalidInput|_Refused|problems\.add)\(\s*"([a-z0-9_]+)"')
    codes = {code for module in package.glob("*.py") for code in raised.findall(module.read_text())}
    described = set(re.findall(r"`([a-z0-9_]+)`", (ROOT / "docs/workflows.md").read_text()))
    assert len(codes) > 40
    assert codes <= described


def example_folders() -> list[Path]:
    return sorted(path.parent for path in EXAMPLES.glob("*/workflow.json"))


@pytest.mark.parametrize("folder", example_folders(), ids=lambda folder: folder.name)
def test_every_example_is_accepted(folder: Path) -> None:
    checked = check_archive(io.BytesIO(pack_folder(folder)))
    assert checked.name
    assert checked.description


def test_a_folder_is_packed_into_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    packed = []
    for place in ("one", "two"):
        folder = tmp_path / place
        for name in sorted(("workflow.json", "plugin/plugin.py", "plugin/a.txt"), reverse=place == "two"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
            os.utime(folder / name, (1e9, 1e9 if place == "one" else 1.5e9))
        packed.append(pack_folder(folder))
    assert packed[0] == packed[1]
    assert zipfile.ZipFile(io.BytesIO(packed[0])).namelist() == ["plugin/a.txt", "plugin/plugin.py", "workflow.json"]


def test_caches_links_and_version_control_are_not_packed(tmp_path: Path) -> None:
    for name in ("workflow.json", "plugin/__pycache__/plugin.cpython-311.pyc", "plugin/.git/config", "plugin/old.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert zipfile.ZipFile(io.BytesIO(pack_folder(tmp_path))).namelist() == ["workflow.json"]
