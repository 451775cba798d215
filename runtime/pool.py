"""Hands runs to engine workers, one at a time each, and replaces the engine processes that die or hang."""

import asyncio
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from runtime.engine_process import TemplateProcess
from runtime.errors import RequestRefused
from runtime.log import write_log
from runtime.settings import Settings
from runtime.wire import Exited, Failure, Job, Loaded, Outcome, Ready, StartFailed, TaskFacts, TemplateEvent, WorkerMessage
from runtime.worker_link import WorkerLink, WorkerState, open_link

ATTEMPTS = 2
START_ATTEMPTS = 3
BACKOFF_SECONDS = 0.1
BACKOFF_LIMIT_SECONDS = 5.0
EXIT_GRACE_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class PendingRun:
    """A run on its way through the engine; `done` is called once with the outcome."""

    job: Job
    done: Callable[[Outcome], None]
    attempts: int = 0
    began: float | None = None


class WorkerPool:
    """`failed` holds the reason when the workflow can't be served; `on_loaded` gets what the engine says about its tasks."""

    def __init__(self, settings: Settings, on_loaded: Callable[[list[TaskFacts]], None]) -> None:
        self._settings = settings
        self._on_loaded = on_loaded
        self._template: TemplateProcess | None = None
        self._workers: dict[int, WorkerLink] = {}
        self._queue: deque[PendingRun] = deque()
        self._numbers = 0
        self._bad_starts = 0
        self._has_served = False
        self._loaded = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed: str | None = None

    # What others see

    @property
    def ready_workers(self) -> int:
        """Workers that take runs or are running one."""
        return sum(worker.state in (WorkerState.IDLE, WorkerState.BUSY) for worker in self._workers.values())

    @property
    def busy_workers(self) -> int:
        """Workers with a run in their hands."""
        return sum(worker.state is WorkerState.BUSY for worker in self._workers.values())

    @property
    def queued(self) -> int:
        """Runs that wait for a worker."""
        return len(self._queue)

    def start(self) -> None:
        """Start the engine."""
        self._loaded = False
        self._template = TemplateProcess(self._settings, self._template_event, self._template_lost)
        self._timer = asyncio.get_running_loop().call_later(self._settings.load_timeout, self._load_overdue)

    def check_room(self, *, also_waiting: int = 0) -> None:
        """Raises RequestRefused(503) when no further run can wait, beside those that are on their way here."""
        waiting = max(len(self._queue), also_waiting)
        if waiting >= self._settings.queue_limit:
            raise RequestRefused(503, "busy", f"{waiting} runs already wait for a worker, try again", retry_after=1)

    def submit(self, job: Job, done: Callable[[Outcome], None]) -> None:
        """Run a job as soon as a worker is free."""
        pending = PendingRun(job, done)
        if self.failed is not None:
            done(_failed(pending, "engine_unavailable", f"The workflow can't be served: {self.failed.splitlines()[-1]}"))
            return
        self._queue.append(pending)
        self._dispatch()

    def close(self) -> None:
        """End all engine processes."""
        self._closed = True
        self._stop_timer()
        if self._template is not None:
            self._template.close()
        for worker in list(self._workers.values()):
            self._remove(worker)

    # Runs

    def _dispatch(self) -> None:
        for worker in self._workers.values():
            if not self._queue:
                return
            if worker.state is WorkerState.IDLE:
                self._give(worker, self._queue.popleft())

    def _give(self, worker: WorkerLink, pending: PendingRun) -> None:
        pending.attempts += 1
        pending.began = time.perf_counter()
        worker.state = WorkerState.BUSY
        worker.pending = pending
        worker.timer = asyncio.get_running_loop().call_later(self._settings.run_timeout, self._run_overdue, worker)
        worker.send(pending.job)

    def _outcome(self, worker: WorkerLink, outcome: Outcome) -> None:
        pending, worker.pending = worker.pending, None
        worker.stop_timer()
        if worker.state is WorkerState.BUSY and worker.killed_for is None:
            worker.state = WorkerState.IDLE
        if pending is not None:
            pending.done(outcome)
        self._dispatch()

    def _run_overdue(self, worker: WorkerLink) -> None:
        self._kill(worker, f"The run took longer than {self._settings.run_timeout:g} s and was stopped.")

    def _kill(self, worker: WorkerLink, reason: str) -> None:
        worker.killed_for = reason
        if self._template is not None:
            self._template.kill_worker(worker.number)

    # Workers

    def _spawn_missing(self) -> None:
        while self._loaded and not self._closed and self.failed is None and len(self._workers) < self._settings.workers:
            self._numbers += 1
            worker = WorkerLink(self._numbers, self._worker_started)
            worker.on_outcome = self._outcome
            worker.on_closed = self._worker_closed
            self._workers[worker.number] = worker
            task = asyncio.get_running_loop().create_task(self._spawn(worker))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _spawn(self, worker: WorkerLink) -> None:
        remote, output = await open_link(worker)
        loop = asyncio.get_running_loop()
        with remote:
            if self._template is not None and self._workers.get(worker.number) is worker:
                self._template.spawn(worker.number, remote, output)
                worker.timer = loop.call_later(self._settings.load_timeout, self._kill, worker, "it did not start in time")
            else:
                worker.close()
        os.close(output)

    def _worker_started(self, worker: WorkerLink, message: WorkerMessage) -> None:
        worker.stop_timer()
        if isinstance(message, Ready):
            self._bad_starts = 0
            self._has_served = True
            worker.state = WorkerState.IDLE
            worker.pid = message.pid
            write_log("INFO", f"engine worker {worker.number} (process {worker.pid}) is ready")
            self._dispatch()
        else:
            self._could_not_start(message.detail)

    def _worker_closed(self, worker: WorkerLink) -> None:
        if worker.exit_status is not None:
            self._bury(worker)
        elif self._template is not None and not self._closed:
            self._template.kill_worker(worker.number)

    def _worker_exited(self, number: int, status: int) -> None:
        """It is over when the connection has closed as well: an answer may still be in it."""
        worker = self._workers.get(number)
        if worker is None:
            return
        worker.exit_status = status
        if worker.closed:
            self._bury(worker)
        else:
            asyncio.get_running_loop().call_later(EXIT_GRACE_SECONDS, worker.close)

    def _bury(self, worker: WorkerLink) -> None:
        if self._workers.get(worker.number) is not worker:
            return
        started = worker.state is not WorkerState.STARTING
        crash = self._remove(worker)
        pending, worker.pending = worker.pending, None
        how = _describe(worker.exit_status)
        if not self._closed:
            write_log("WARNING", f"engine worker {worker.number} (process {worker.pid}) ended: {worker.killed_for or how}", traceback=crash)
        if pending is not None:
            self._settle(pending, worker, how, crash)
        if started:
            self._spawn_missing()
        else:
            self._start_failed(f"The engine worker ended while starting: {worker.killed_for or how}" + (f"\n{crash}" if crash else ""))
        self._dispatch()

    def _remove(self, worker: WorkerLink) -> str | None:
        self._workers.pop(worker.number, None)
        worker.state = WorkerState.DEAD
        worker.on_closed = None
        worker.stop_timer()
        worker.close()
        return worker.close_output()

    def _settle(self, pending: PendingRun, worker: WorkerLink, how: str, crash: str | None) -> None:
        """Decide about the run that a dead worker had: killed from outside it is tried once more, anything else fails it."""
        killed = worker.exit_status in (None, signal.SIGKILL)
        if worker.killed_for is not None:
            pending.done(_failed(pending, "timeout", worker.killed_for))
        elif killed and pending.attempts < ATTEMPTS:
            write_log("WARNING", "the engine was killed during this run, trying once more", run=pending.job.run)
            self._queue.appendleft(pending)
        elif killed:
            pending.done(_failed(pending, "engine_killed", "The engine was killed twice while running this (out of memory, perhaps)."))
        else:
            message = f"The engine crashed while running the workflow: {how}."
            pending.done(_failed(pending, "engine_crashed", message, crash))

    # Template

    def _template_event(self, event: TemplateEvent) -> None:
        match event:
            case Loaded(tasks=tasks):
                self._stop_timer()
                self._loaded = True
                self._on_loaded(tasks)
                self._spawn_missing()
            case StartFailed(detail=detail):
                self._could_not_start(detail)
            case Exited(worker=number, status=status):
                self._worker_exited(number, status)

    def _template_lost(self, status: int) -> None:
        """The workers have died with it; their runs are tried once more by the next one."""
        loaded, self._loaded = self._loaded, False
        crash = self._template.output.crash_report() if self._template is not None else None
        self._template = None
        self._stop_timer()
        for worker in list(self._workers.values()):
            self._lose(worker)
        if self.failed is not None or self._closed:
            return
        how = f"The engine process ended: {_describe(-status if status < 0 else status << 8)}"
        write_log("ERROR", how, traceback=crash)
        if loaded:
            self.start()
        else:
            self._start_failed(f"{how} while loading the workflow" + (f"\n{crash}" if crash else ""))

    def _lose(self, worker: WorkerLink) -> None:
        self._remove(worker)
        if worker.pending is not None:
            self._settle(worker.pending, worker, "it was killed", None)
            worker.pending = None

    def _load_overdue(self) -> None:
        self._could_not_start(f"The workflow did not load within {self._settings.load_timeout:g} s.")
        if self._template is not None:
            self._template.kill()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Failing to start. A workflow that has served before is never given up: what went wrong lies outside of it.

    def _could_not_start(self, detail: str) -> None:
        """An exception at the start would come again; the process that told of it ends by itself."""
        if self._has_served:
            write_log("ERROR", "the engine could not be started again", traceback=detail)
        else:
            self._fail(detail)

    def _start_failed(self, detail: str) -> None:
        """Try again with growing pauses; a few times only where it has never worked."""
        self._bad_starts += 1
        if self._bad_starts >= START_ATTEMPTS and not self._has_served:
            self._fail(detail)
            return
        pause = min(BACKOFF_SECONDS * 2 ** min(self._bad_starts, 10), BACKOFF_LIMIT_SECONDS)
        again = self.start if self._template is None else self._spawn_missing
        asyncio.get_running_loop().call_later(pause, self._start_again, again)

    def _start_again(self, again: Callable[[], None]) -> None:
        if not self._closed and self.failed is None:
            again()

    def _fail(self, detail: str) -> None:
        if self.failed is not None:
            return
        self.failed = detail
        self._stop_timer()
        write_log("ERROR", "the workflow can't be served", traceback=detail)
        if self._template is not None:
            self._template.kill()
        while self._queue:
            pending = self._queue.popleft()
            pending.done(_failed(pending, "engine_unavailable", f"The workflow can't be served: {detail.splitlines()[-1]}"))


def _failed(pending: PendingRun, code: str, message: str, traceback: str | None = None) -> Outcome:
    """The outcome of a run that no worker answered for; its duration is the time that the last worker had it."""
    taken = 0.0 if pending.began is None else (time.perf_counter() - pending.began) * 1000
    return Outcome(pending.job.run, taken, None, Failure(code, message, traceback=traceback))


def _describe(status: int | None) -> str:
    """What a wait status means, in words."""
    if status is None:
        return "it was killed"
    if os.WIFSIGNALED(status):
        return f"it died of {signal.Signals(os.WTERMSIG(status)).name}"
    return f"it exited with code {os.waitstatus_to_exitcode(status)}"
