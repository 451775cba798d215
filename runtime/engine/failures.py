"""Find out which task failed and with which traceback: the engine's own error keeps only the last lines of it."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.wire import Failure

OWN_FOLDER = f"{Path(__file__).parent}/"
ENGINE_MODULES = ("ikomia", "pydataprocess", "pycore")


class RunFailed(Exception):
    """A run that ended with a failure for the caller."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class TaskWatch:
    """Sees what the `run` methods of Python plugins raise, before the engine swallows it."""

    def __init__(self, tasks: list[Any], bundle: Path) -> None:
        self._prefix = f"{bundle}/"
        self._watched: set[type] = set()
        self.error: BaseException | None = None
        self.task: str | None = None
        for task in tasks:
            if _is_plugin(type(task)) and type(task) not in self._watched:
                self._watched.add(type(task))
                self._wrap(type(task))

    def reset(self) -> None:
        """Forget the run before."""
        self.error = None
        self.task = None

    def format(self, error: BaseException) -> str | None:
        """The traceback without this package's frames, with paths relative to the bundle; None when nothing of it is left."""
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(OWN_FOLDER):
            trace = trace.tb_next
        if trace is None:
            return None
        return "".join(traceback.format_exception(type(error), error, trace)).replace(self._prefix, "").rstrip()

    def _wrap(self, task_class: Any) -> None:
        original: Callable[[Any], None] = task_class.run

        def run(task: Any) -> None:
            try:
                original(task)
            except BaseException as error:
                if self.error is None:
                    self.error = error
                    self.task = str(task.name)
                raise

        task_class.run = run


def describe_engine_error(watch: TaskWatch, tasks: list[Any], error: BaseException) -> Failure:
    """The failure for what `run` raised: the plugin's own exception if there was one, else the engine's message."""
    if watch.error is not None:
        message = f"Task {watch.task} failed: {type(watch.error).__name__}: {watch.error}"
        return Failure("task_failed", message, watch.task, watch.format(watch.error))
    name = _first_without_output(tasks)
    return Failure("task_failed", f"Task {name} failed: {error}" if name else str(error), name)


def _first_without_output(tasks: list[Any]) -> str | None:
    """The engine doesn't say where it stopped: the only candidate is named, several are left open."""
    open_tasks = [task for task in tasks if not any(output.is_data_available() for output in task.get_outputs())]
    return str(open_tasks[0].name) if len(tasks) == 1 or len(open_tasks) == 1 else None


def _is_plugin(task_class: type) -> bool:
    return not task_class.__module__.startswith(ENGINE_MODULES)
