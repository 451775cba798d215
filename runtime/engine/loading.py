"""Import the engine without network and load the bundle's workflow."""

import importlib
import json
import logging
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Nothing listens there: an algorithm that is not in the bundle is an error, never a download.
CLOSED_HUB = "http://127.0.0.1:9"


class LoadError(Exception):
    """The workflow can't be loaded; the text names the task."""


@dataclass(slots=True)
class LoadedWorkflow:
    """The engine's workflow object and its tasks in the order of workflow.json."""

    workflow: Any
    tasks: list[Any]


def load_workflow(bundle: Path) -> LoadedWorkflow:
    """Load `bundle`/workflow.json with the plugins beside it; raises with the plugin's own traceback when one is broken."""
    content = json.loads((bundle / "workflow.json").read_text(encoding="utf-8"))
    registry = _import_engine()
    _add_packages(bundle / "site-packages")
    plugins = bundle / "plugins"
    registry.set_plugins_directory(str(plugins))
    sys.dont_write_bytecode = True  # the bundle is only read
    names = [task["task_data"]["name"] for task in content["tasks"]]
    _load_plugins(registry, plugins / "Python", names)
    _make_files_absolute(content, plugins / "Python")
    return _load(content, names)


def _import_engine() -> Any:
    """Import with every way to the network and to the user's settings closed; gives the registry of algorithms."""
    os.environ["IKOMIA_AUTO_COMPLETION"] = "0"
    dotenv: Any = importlib.import_module("dotenv")
    dotenv.load_dotenv = lambda *_, **__: False
    importlib.import_module("ikomia")
    config: Any = importlib.import_module("ikomia.core.config")
    config.main_cfg["hub"]["url"] = CLOSED_HUB
    logging.getLogger("ikomia").setLevel(logging.WARNING)
    importlib.import_module("cv2")  # what every worker needs is imported once, here
    importlib.import_module("ikomia.dataprocess.io")
    registry: Any = importlib.import_module("ikomia.dataprocess.registry")
    return registry.ik_registry


def _add_packages(folder: Path) -> None:
    """What plugins require comes last: neither the engine nor its packages can be replaced by it. Nothing in it runs until a plugin imports it."""
    if folder.is_dir():
        sys.path.append(str(folder))


def _load_plugins(registry: Any, folder: Path, names: list[str]) -> None:
    """Import each plugin in Python first: the engine would only say that it doesn't exist."""
    built_in = set(registry.get_algorithms())
    if folder.is_dir():
        sys.path.insert(0, str(folder))
    for name in dict.fromkeys(names):
        if name in built_in:
            continue
        if not (folder / name).is_dir():
            raise LoadError(f"task {name}: there is no such algorithm in the engine and no plugin of that name in the bundle")
        module = importlib.import_module(f"{name}.{name}")
        module.IkomiaPlugin().get_process_factory()
        registry.load_python_algorithm(str(folder / name))
        if name not in set(registry.get_algorithms()):
            raise LoadError(f"task {name}: the plugin was imported, but it does not register an algorithm of that name")


def _make_files_absolute(content: dict[str, Any], folder: Path) -> None:
    """A saved file parameter is `file://<plugin>/data/x`; the engine wants the path on this machine."""
    for task in content["tasks"]:
        data = task["task_data"]
        for parameter in data.get("parameters", []):
            value = parameter["value"]
            if value.startswith("file://") and (folder / value.removeprefix("file://")).exists():
                parameter["value"] = str(folder / value.removeprefix("file://"))
        if (folder / data["name"]).is_dir():
            data["url"] = f"file://{folder / data['name']}"


def _load(content: dict[str, Any], names: list[str]) -> LoadedWorkflow:
    module: Any = importlib.import_module("ikomia.dataprocess.workflow")
    workflow = module.Workflow("workflow")
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        workflow.load(file.name)
    root = workflow.get_root_id()
    tasks = [workflow.get_task(number) for number in workflow.get_task_ids() if number != root]
    if [task.name for task in tasks] != names:
        raise LoadError(f"the engine loaded the tasks {[task.name for task in tasks]} where the workflow has {names}")
    return LoadedWorkflow(workflow, tasks)
