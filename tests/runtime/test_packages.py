"""What plugins require lies in the bundle and comes after everything that the engine brings."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.runtime.process import WORKFLOWS, RuntimeProcess, make_bundle


def test_plugins_find_their_packages_and_the_engine_keeps_its_own(tmp_path: Path) -> None:
    workflow = shutil.copytree(WORKFLOWS / "echo", tmp_path / "echo")
    plugin = workflow / "echo" / "echo_process.py"
    plugin.write_text("import hullmaker, numpy, sys\nprint('hulls', hullmaker.VERSION, sys.path[-1])\n" + plugin.read_text())
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        bundle = make_bundle(workflow, Path(folder) / "bundle")
        for name, text in {"hullmaker": "VERSION = '2.0'", "numpy": "raise SystemExit('replaced')"}.items():
            (bundle / "site-packages" / name).mkdir(parents=True)
            (bundle / "site-packages" / name / "__init__.py").write_text(text)
        runtime = RuntimeProcess(Path(folder), bundle)
        try:
            runtime.wait_until_ready()
            [line] = runtime.wait_for_log("hulls 2.0")
        finally:
            runtime.stop()

    assert line["message"] == f"hulls 2.0 {bundle}/site-packages"
