"""From a plugin's requirement line to an endpoint: the agent fetches what was built and the sandboxed runtime imports it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from controlplane.accounts.models import User
from controlplane.common.objectstore import object_store
from deployments.bundles.build import build_bundle
from tests.deployments.agent import Agent
from tests.deployments.builders import make_workflow, push
from tests.deployments.provider_contract import until, until_ready
from tests.deployments.wheels import make_wheel
from tests.runtime.process import WORKFLOWS


def test_a_plugin_that_requires_a_package_is_served_with_it(owner: User, tmp_path: Path, settings) -> None:
    object_store().ensure_bucket()
    make_wheel(tmp_path / "wheels", "hullmaker", "2.0", files={"numpy/__init__.py": "raise SystemExit('the engine has its own')"})
    settings.PACKAGE_INDEX_URL, settings.PACKAGE_FOLDER = "none", str(tmp_path / "wheels")
    settings.BUILD_FOLDER = str(tmp_path / "build")
    echo = WORKFLOWS / "echo"
    files = {str(path.relative_to(echo)): path.read_text() for path in echo.rglob("*") if path.suffix in (".py", ".json")}
    files["echo/echo_process.py"] = "import hullmaker\nprint('hulls', hullmaker.VERSION)\n" + files["echo/echo_process.py"]
    bundle = build_bundle(push(make_workflow(owner), {**files, "echo/requirements.txt": "hullmaker>=2"}))

    agent = Agent(tmp_path)
    agent.start()
    try:
        until_ready(agent.provider, agent.spec(bundle.digest))
        lines = agent.provider.read_logs("d1-g1", "", limit=1000).lines
    finally:
        agent.end(signal.SIGKILL)
        until(lambda: True if not agent.processes() else None, what="everything to be gone")

    assert "hulls 2.0" in [json.loads(line)["message"] for line in lines]
