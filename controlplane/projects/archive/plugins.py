"""Plugins that a workflow uses: each must be in the archive, in the form that the engine loads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controlplane.projects.archive.algorithms import built_in_algorithms
from controlplane.projects.archive.problems import Problems
from controlplane.projects.archive.tasks import PYTHON, Task
from controlplane.projects.archive.wording import quoted, quoted_list

_PLUGIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}")
_FILE = "file://"


@dataclass(frozen=True, slots=True)
class Plugins:
    """Names of the plugins that a workflow uses, sorted: those in the archive, and those that are taken from elsewhere when it is built."""

    inside: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


Known = Callable[[str], bool]


def nothing_known(name: str) -> bool:
    """Know no algorithm but those in the archive."""
    return False


def check_plugins(problems: Problems, tasks: Iterable[Task], files: frozenset[str], known: Known = nothing_known) -> Plugins:
    """Plugins that the tasks use; `files` are the names of all files in the archive, `known` tells what needs not be in it.

    A task uses a plugin when it says so (`language` 1 or a `url`) or when its name is none of the engine's own.
    """
    plugins: dict[str, Task] = {}
    for task in tasks:
        if task.url is not None and not task.url.startswith(_FILE):
            message = (
                f"The plugin of {task} is at {quoted(task.url)}. Only plugins inside the archive run: push with the command line client."
            )
            problems.add("plugin_url", f"{task.place}/task_data/url", message)
        elif task.language == PYTHON or task.url is not None or task.name not in built_in_algorithms():
            plugins.setdefault(task.name, task)
    usable = {name: task for name, task in plugins.items() if _check_plugin_name(problems, task)}
    folders = {name.split("/", 1)[0] for name in files if "/" in name}
    elsewhere = {name for name in usable if name not in folders and known(name)}
    _check_presence(problems, {name: task for name, task in usable.items() if name not in elsewhere}, folders)
    for name, task in usable.items():
        if name in folders:
            _check_folder(problems, task, files)
    _check_parameter_files(problems, tasks, folders & usable.keys(), files)
    return Plugins(tuple(sorted(usable.keys() - elsewhere)), tuple(sorted(elsewhere)))


def _check_plugin_name(problems: Problems, task: Task) -> bool:
    if task.name in built_in_algorithms():
        message = f"The plugin {quoted(task.name)} has the name of an algorithm of the engine, which would run instead. Rename the plugin."
    elif not _PLUGIN_NAME.fullmatch(task.name):
        message = (
            f"The plugin name {quoted(task.name)} cannot be a Python module. "
            "Use letters, digits, underscores and dashes, and rename its folder too."
        )
    else:
        return True
    problems.add("plugin_name", f"{task.place}/task_data/name", message)
    return False


def _check_presence(problems: Problems, plugins: dict[str, Task], folders: set[str]) -> None:
    missing = sorted(name for name in plugins if name not in folders)
    if not missing:
        return
    present = sorted(name for name in plugins if name in folders)
    needed = f"Needed but not in the archive: {quoted_list(missing)}. In the archive: {quoted_list(present) if present else 'none'}."
    advice = (
        "Add a folder with the same name for each, or push with the command line client, which adds them; or add the algorithm to your "
        "private HUB."
    )
    for name in missing:
        task = plugins[name]
        message = (
            f"The algorithm of {task} is a plugin or is not one of the engine, and the archive has no folder for it. {needed} {advice}"
        )
        problems.add("plugin_missing", f"{task.place}/task_data/name", message)


def _check_folder(problems: Problems, task: Task, files: frozenset[str]) -> None:
    """The engine imports `<name>/<name>.py` and, whatever that does, `<name>/<name>_process.py`."""
    name, place = task.name, f"{task.place}/task_data/name"
    missing = [path for path in (f"{name}/{name}.py", f"{name}/{name}_process.py") if path not in files]
    if not missing:
        return
    if any(file.startswith(f"{name}/") and file.endswith((".so", ".dll", ".dylib")) for file in files):
        problems.add(
            "plugin_not_python", place, f"The plugin {quoted(name)} is compiled. Only plugins written in Python run here; use such a one."
        )
        return
    message = f"The folder of the plugin {quoted(name)} lacks {quoted_list(missing)}, which the engine imports. Add it, not deeper."
    problems.add("plugin_incomplete", place, message)


def _check_parameter_files(problems: Problems, tasks: Iterable[Task], plugins: set[str], files: frozenset[str]) -> None:
    """A parameter may name a file inside a plugin's folder as `file://<plugin>/...`; that file must have come along."""
    for task in tasks:
        for name, value in (task.parameters or {}).items():
            path = value.removeprefix(_FILE)
            if value.startswith(_FILE) and path.split("/", 1)[0] in plugins and path not in files:
                message = (
                    f"The parameter {quoted(name)} of {task} names the file {quoted(path)}, which is not in the archive. Add the file."
                )
                problems.add("parameter_file_missing", f"{task.place}/task_data/parameters", message)
