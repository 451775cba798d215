"""A run with videos: the workflow runs once for each frame, pictures become one video and everything else one list with an entry for each frame.

The engine can run through a video by itself (its setting `WholeVideo`), but then only what it writes into files of its own can be had, not the
outputs of each task. Frame by frame is also how its desktop application plays videos, so algorithms are made for it.
"""

import contextlib
import importlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from runtime.data_types import PATH_TYPES, PICTURE_TYPES
from runtime.engine.failures import RunFailed
from runtime.engine.inputs import build_input
from runtime.engine.outputs import encode_output
from runtime.engine.video import VideoReader
from runtime.engine.video_inputs import SequenceInput, VideoInput, list_content
from runtime.engine.video_results import ListSink, PathSink, PictureSink, Sink
from runtime.wire import Failure, Job, SavedFile

PROGRESS_SECONDS = 10.0
PROGRESS_STEPS = 10
LEAST_FRAMES_TOLD = 100


class VideoRun:
    """One run on videos. `execute` runs the workflow once, `outputs` gives the asked outputs with the names of their tasks."""

    def __init__(
        self,
        workflow: Any,
        tasks: list[Any],
        job: Job,
        folder: Path,
        execute: Callable[[], None],
        outputs: Callable[[], list[tuple[str, Any]]],
    ) -> None:
        self._workflow = workflow
        self._tasks = tasks
        self._job = job
        self._folder = folder
        self._execute = execute
        self._outputs = outputs
        self._still: dict[int, Any] = {}
        self._moving: dict[int, VideoInput | SequenceInput] = {}
        self._sinks: list[Sink] = []

    def run(self, expected: list[str | None]) -> tuple[list[bytes], list[SavedFile]]:
        """Run through all frames; gives the results and which of them lie in files. Raises RunFailed."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            self._open_inputs(expected)
            videos = [moving for moving in self._moving.values() if isinstance(moving, VideoInput)]
            clock, count = videos[0], min(video.reader.count for video in videos)
            _notify(self._tasks, "notify_video_start", count)
            progress = _Progress(count)
            number = 0
            while (inputs := self._next_inputs()) is not None and clock.now is not None:
                self._run_frame(number, inputs, clock)
                number += 1
                progress.tell(number)
            if number == 0:
                raise RunFailed(Failure("invalid_input", "The inputs of this run have no frame in common."))
            _notify(self._tasks, "notify_video_end")
            return self._end()

    def _open_inputs(self, expected: list[str | None]) -> None:
        for index, given in enumerate(self._job.inputs):
            wanted = expected[index] if index < len(expected) else None
            if given.type == "VIDEO":
                self._moving[index] = VideoInput(index, given, wanted)
            elif (content := list_content(given)) is not None:
                self._moving[index] = SequenceInput(index, given, content, wanted)
            else:
                self._still[index] = build_input(index, given, wanted)

    def _next_inputs(self) -> dict[int, Any] | None:
        """The next frame of every input that moves; None when the first of them has ended."""
        inputs: dict[int, Any] = {}
        for index, moving in self._moving.items():
            if (value := moving.next()) is None:
                return None
            inputs[index] = value
        return inputs

    def _set_inputs(self, number: int, inputs: dict[int, Any]) -> None:
        """All for the first frame, in their order: the engine crashes on a gap. Then those that have changed."""
        if number == 0:
            for _, value in sorted((self._still | inputs).items()):
                self._workflow.add_input(value)
            return
        for index, value in inputs.items():
            self._workflow.set_input(value, index, False)

    def _run_frame(self, number: int, inputs: dict[int, Any], clock: VideoInput) -> None:
        self._set_inputs(number, inputs)
        self._workflow.clear_output_data()
        try:
            self._execute()
        except RunFailed as failed:
            failed.failure.message = f"In frame {number}: {failed.failure.message.strip()}"
            raise
        outputs = self._outputs()
        if number == 0:
            self._sinks = [self._open_sink(position, output, clock.reader) for position, (_, output) in enumerate(outputs)]
        frame = clock.now
        for sink, (task, output) in zip(self._sinks, outputs, strict=True):
            if frame is not None:
                _attempt(task, partial(sink.add, output, frame, number))

    def _open_sink(self, position: int, output: Any, video: VideoReader) -> Sink:
        kind = str(output.data_type)
        if kind in PATH_TYPES:
            return PathSink(self._folder, position)
        if kind in PICTURE_TYPES:
            return PictureSink(self._folder / f"result-{position}.mp4", position, video.time_base, video.rate)
        return ListSink(self._folder / f"result-{position}.json", position, video.time_base)

    def _end(self) -> tuple[list[bytes], list[SavedFile]]:
        results: list[bytes] = []
        files: list[SavedFile] = []
        for sink, (task, output) in zip(self._sinks, self._outputs(), strict=True):
            saved = _attempt(task, partial(sink.end, output))
            if saved is not None:
                files.append(saved)
            results.append(b"null" if saved is not None else encode_output(output))
        return results, files

    def _close(self) -> None:
        for moving in self._moving.values():
            if isinstance(moving, VideoInput):
                moving.reader.close()
        for sink in self._sinks:
            sink.close()


def _notify(tasks: list[Any], what: str, *arguments: int) -> None:
    """Tell the algorithms that remember earlier frames: they must not see those of another run.

    Built-in ones do not show in Python that they are of that kind; for those that are not the engine's binding raises a TypeError.
    """
    kind: Any = importlib.import_module("ikomia.dataprocess").CVideoTask
    for task in tasks:
        if isinstance(task, kind):
            _attempt(str(task.name), partial(getattr(task, what), *arguments), f"{what} of task {task.name} failed", "task_failed")
        else:
            with contextlib.suppress(TypeError):
                getattr(kind, what)(task, *arguments)


class _Progress:
    """Tells the run's log how far a long video is: every tenth of it, and every ten seconds."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._step = 0
        self._told = time.monotonic()

    def tell(self, number: int) -> None:
        """A frame is done."""
        step = min(number * PROGRESS_STEPS // self._count, PROGRESS_STEPS - 1) if self._count >= LEAST_FRAMES_TOLD else 0
        if step <= self._step and time.monotonic() < self._told + PROGRESS_SECONDS:
            return
        self._step = max(step, self._step)
        self._told = time.monotonic()
        print(f"video: {number} of about {self._count} frames" if self._count else f"video: {number} frames", flush=True)


def _attempt(task: str, work: Callable[[], Any], what: str | None = None, code: str = "output_failed") -> Any:
    try:
        return work()
    except Exception as error:
        message = f"{what or f'An output of task {task} can not be written'}: {type(error).__name__}: {error}"
        raise RunFailed(Failure(code, message, task)) from error
