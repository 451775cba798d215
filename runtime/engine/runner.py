"""Runs one job on the loaded workflow and leaves it as it was before."""

import importlib
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from runtime.engine.failures import RunFailed, TaskWatch, describe_engine_error
from runtime.engine.inputs import build_input
from runtime.engine.loading import LoadedWorkflow
from runtime.engine.outputs import encode_output
from runtime.engine.saving import save_output
from runtime.wire import Failure, Job, Outcome, SavedFile, TaskFacts


class WorkflowRunner:
    """Holds the engine's workflow and what its parameters were when it was saved."""

    def __init__(self, loaded: LoadedWorkflow, bundle: Path) -> None:
        self._workflow = loaded.workflow
        self._tasks = loaded.tasks
        self._defaults = [dict(task.get_parameters()) for task in loaded.tasks]
        self._overrides: dict[int, dict[str, str] | None] = {}
        self._watch = TaskWatch(loaded.tasks, bundle)
        self._engine: Any = importlib.import_module("ikomia.dataprocess").CWorkflow
        self._input_types = _input_types(loaded.workflow)

    def facts(self) -> list[TaskFacts]:
        """What the engine knows about each task, in the order of workflow.json."""
        return [
            TaskFacts(list(defaults), _types(task.get_inputs()), _types(task.get_outputs()))
            for task, defaults in zip(self._tasks, self._defaults, strict=True)
        ]

    def initialise(self) -> None:
        """Let the tasks load their models before the first run."""
        for task in self._tasks:
            task.init_long_process()

    def run(self, job: Job) -> Outcome:
        """Run a job; never raises. The duration is the engine's: decoding the inputs, the run, encoding the outputs."""
        began = time.perf_counter()
        try:
            results, saved = self._run(job)
        except RunFailed as failed:
            return Outcome(job.run, _since(began), None, failed.failure)
        except BaseException as error:
            failure = Failure("engine_failed", f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
            return Outcome(job.run, _since(began), None, failure)
        finally:
            self._clear()
        return Outcome(job.run, _since(began), b"".join((b"[", b",".join(results), b"]")), None, saved)

    def _run(self, job: Job) -> tuple[list[bytes], list[SavedFile]]:
        """The results and which of them lie in files; those that do are null."""
        self._set_parameters(job.parameters)
        folder = None if job.folder is None else Path(tempfile.mkdtemp(prefix="results-", dir=job.folder))
        if folder is not None and any(given.type == "VIDEO" for given in job.inputs):
            return self._run_video(job, folder)
        for index, given in enumerate(job.inputs):
            self._workflow.add_input(build_input(index, given, self._expected(index)))
        self._execute()
        return self._collect(job, folder)

    def _run_video(self, job: Job, folder: Path) -> tuple[list[bytes], list[SavedFile]]:
        """Imported here: what decodes videos takes its time and memory only where there are some."""
        from runtime.engine.video_run import VideoRun

        outputs = partial(self._named_outputs, job)
        return VideoRun(self._workflow, self._tasks, job, folder, self._execute, outputs).run(self._input_types)

    def _expected(self, index: int) -> str | None:
        return self._input_types[index] if index < len(self._input_types) else None

    def _execute(self) -> None:
        """Run the workflow once on the inputs that it has."""
        self._watch.reset()
        try:
            self._workflow.update_start_time()
            self._engine.run(self._workflow)
        except BaseException as error:
            raise RunFailed(describe_engine_error(self._watch, self._tasks, error)) from error

    def _set_parameters(self, wanted: dict[int, dict[str, str]]) -> None:
        """Set what differs from the run before, so that a plugin reloads its model only when something has changed."""
        for position in {*self._overrides, *wanted}:
            values = wanted.get(position, {})
            if self._overrides.get(position, {}) == values:
                continue
            task = self._tasks[position]
            self._overrides[position] = None
            try:
                task.set_parameters(self._defaults[position] | values)
            except BaseException as error:
                shown = ", ".join(f"{name}={value!r}" for name, value in values.items()) or "the saved values"
                message = f"Task {task.name} does not accept the parameters {shown}: {error}"
                raise RunFailed(Failure("invalid_parameter", message, task.name, self._watch.format(error))) from error
            self._overrides[position] = values

    def _asked(self, job: Job) -> list[tuple[str, Any, bool]]:
        """The asked outputs in their order: the task's name, the output, and whether it is to be saved as a file."""
        found: list[tuple[str, Any, bool]] = []
        for asked in job.outputs:
            task = self._tasks[asked.task]
            outputs = list(task.get_outputs())
            if asked.index is not None and asked.index >= len(outputs):
                message = f"Task {task.name} has no output {asked.index}, it has {len(outputs)}."
                raise RunFailed(Failure("unknown_output", message, task.name))
            chosen = outputs if asked.index is None else [outputs[asked.index]]
            found += [(task.name, output, asked.save) for output in chosen]
        return found

    def _named_outputs(self, job: Job) -> list[tuple[str, Any]]:
        return [(name, output) for name, output, _ in self._asked(job)]

    def _collect(self, job: Job, folder: Path | None) -> tuple[list[bytes], list[SavedFile]]:
        results: list[bytes] = []
        files: list[SavedFile] = []
        for position, (name, output, save) in enumerate(self._asked(job)):
            try:
                saved = save_output(output, folder, position) if save and folder is not None else None
                results.append(b"null" if saved is not None else encode_output(output))
            except Exception as error:
                what = "saved" if save else "written as JSON"
                message = f"An output of task {name} can't be {what}: {error}"
                raise RunFailed(Failure("output_failed", message, name, self._watch.format(error))) from error
            if saved is not None:
                files.append(saved)
        return results, files

    def _clear(self) -> None:
        """Nothing of a run may be seen by the next one."""
        self._workflow.clear_inputs()
        self._workflow.clear_output_data()


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


def _types(ports: Any) -> list[str]:
    return [str(port.data_type) for port in ports]


def _input_types(workflow: Any) -> list[str | None]:
    return [str(name) for name in workflow.get_root_target_types()]
