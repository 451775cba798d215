"""What the HTTP routes call: one workflow, its runs and the pool that runs them."""

import asyncio
import traceback
from functools import partial

import msgspec

from runtime.errors import InvalidWorkflow, RequestRefused, TransferFailed
from runtime.log import write_log
from runtime.pool import WorkerPool
from runtime.run_request import CheckedRun, check_run
from runtime.runs import Run, RunBook
from runtime.scratch import Scratch, base_folder
from runtime.settings import Settings
from runtime.storage.connection import StorageConnections
from runtime.transfers import Transfers
from runtime.wire import Failure, Job, Outcome, TaskFacts
from runtime.workflow import Workflow, read_workflow


class Service:
    """Created inside the event loop; `start` starts the engine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = WorkerPool(settings, self._learn)
        self._runs = RunBook(settings)
        self._workflow: Workflow | None = None
        self._invalid: str | None = None
        self._draining = False
        self._storage_runs: set[asyncio.Task[None]] = set()
        self._scratch: Scratch | None = None
        self._transfers: Transfers | None = None

    def start(self) -> None:
        """Check the workflow and start the engine for it; what is wrong is told by `health`."""
        try:
            self._workflow = read_workflow(self._settings.bundle / "workflow.json")
        except InvalidWorkflow as error:
            self._invalid = str(error)
            write_log("ERROR", f"the workflow can't be served: {error}")
            return
        if self._settings.storage_socket is not None and self._settings.storage_origin is not None:
            connections = StorageConnections(self._settings.storage_socket, self._settings.storage_origin)
            self._scratch = Scratch(base_folder())
            self._transfers = Transfers(connections, self._scratch, self._settings.storage_limit)
        self._pool.start()

    def _learn(self, facts: list[TaskFacts]) -> None:
        if self._workflow is not None:
            self._workflow.learn(facts)

    async def drain(self) -> None:
        """Take no new runs and wait for those in hand, as long as the settings allow."""
        self._draining = True
        try:
            await asyncio.wait_for(self._runs.idle.wait(), self._settings.drain_timeout)
        except TimeoutError:
            write_log("WARNING", "runs were still in hand when the time to finish them was over")

    def close(self) -> None:
        """End the engine and the transfers, and remove what lies on the disk."""
        self._pool.close()
        if self._transfers is not None:
            self._transfers.close()
        if self._scratch is not None:
            self._scratch.close()

    def health(self) -> tuple[int, dict[str, object]]:
        """Status code and body of GET /health."""
        failed = self._invalid or self._pool.failed
        if failed is not None:
            return 503, {"status": "failed", "detail": failed}
        if self._draining:
            return 503, {"status": "draining"}
        if self._pool.ready_workers == 0:
            return 503, {"status": "starting"}
        counts = {"workers": self._pool.ready_workers, "busy": self._pool.busy_workers, "queued": self._pool.queued}
        return 200, {"status": "ready", **counts}

    def workflow_file(self) -> bytes:
        """The workflow as pushed."""
        if self._workflow is None:
            raise RequestRefused(503, "failed", self._invalid or "the workflow is not loaded")
        return self._workflow.raw

    def find_run(self, uuid: str) -> Run:
        """A known run; raises RequestRefused 404 or 410."""
        run = self._runs.find(uuid)
        if run is None:
            raise RequestRefused(404, "unknown_run", f"there is no run {uuid}")
        return run

    def start_run(self, uuid: str, body: bytes, storage_token: str | None) -> Run:
        """Take a run in hand, or join it when its id is known already."""
        if (known := self._runs.find(uuid)) is not None:
            return known
        if self._draining:
            raise RequestRefused(503, "draining", "this replica is stopping", retry_after=1)
        if self._workflow is None or self._pool.failed is not None:
            raise RequestRefused(503, "failed", self._invalid or self._pool.failed or "the workflow is not loaded")
        checked = check_run(uuid, body, workflow=self._workflow, settings=self._settings, storage_token=storage_token)
        self._pool.check_room(also_waiting=len(self._storage_runs))
        run = self._runs.begin(uuid, body)
        if checked.uses_storage:
            task = asyncio.get_running_loop().create_task(self._run_with_storage(run, checked, storage_token or ""))
            self._storage_runs.add(task)
            task.add_done_callback(self._storage_runs.discard)
        else:
            self._pool.submit(checked.job, partial(self._finish, run))
        return run

    async def _run_with_storage(self, run: Run, checked: CheckedRun, token: str) -> None:
        """A run that is in hand always gets its answer, whatever happens."""
        outcome = Outcome(run.uuid, 0.0, None, Failure("runtime_failed", "The runtime failed on this run, its log says why."))
        try:
            if self._scratch is not None and self._transfers is not None:
                outcome = await self._fetch_run_save(checked, token, self._scratch, self._transfers)
        finally:
            self._finish(run, outcome)

    async def _fetch_run_save(self, checked: CheckedRun, token: str, scratch: Scratch, transfers: Transfers) -> Outcome:
        """Inputs in, the run, results out. A worker is held in between only, and the folder is gone before the answer is given."""
        run = checked.job.run
        outcome = Outcome(run, 0.0, None, None)
        try:
            folder = scratch.make(run)
            checked.job.folder = str(folder)
            await transfers.fetch(checked.job, checked.downloads, token, folder)
            outcome = await self._execute(checked.job)
            outcome = await transfers.save(outcome, token)
        except TransferFailed as error:
            outcome = Outcome(run, outcome.duration_ms, None, Failure(error.code, str(error)))
        except Exception as error:
            write_log("ERROR", "the runtime failed on a run with storage", run=run, traceback=traceback.format_exc())
            failure = Failure("runtime_failed", f"The runtime failed on this run, its log says why: {type(error).__name__}")
            outcome = Outcome(run, outcome.duration_ms, None, failure)
        finally:
            await self._remove_folder(scratch, run)
        return outcome

    async def _remove_folder(self, scratch: Scratch, run: str) -> None:
        """What can't be removed takes no result away."""
        try:
            await asyncio.to_thread(scratch.remove, scratch.folder / run)
        except Exception:
            write_log("ERROR", "the folder of a run can't be removed", run=run, traceback=traceback.format_exc())

    async def _execute(self, job: Job) -> Outcome:
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._pool.submit(job, ended.set_result)
        return await ended

    def _finish(self, run: Run, outcome: Outcome) -> None:
        duration = round(outcome.duration_ms, 3)
        error = outcome.error
        if error is None and outcome.results is not None:
            self._runs.end(run, _success(run.uuid, duration, outcome.results))
            write_log("INFO", f"run {run.uuid} succeeded in {duration:.1f} ms", run=run.uuid, duration_ms=duration)
            return
        error = error or Failure("engine_failed", "The engine gave no result.")
        answer = {"uuid": run.uuid, "state": "FAILURE", "duration_ms": duration, "error": error}
        self._runs.end(run, msgspec.json.encode(answer))
        message = f"run {run.uuid} failed after {duration:.1f} ms: {error.message}"
        write_log("ERROR", message, run=run.uuid, duration_ms=duration, traceback=error.traceback)


def _success(uuid: str, duration: float, results: bytes) -> bytes:
    """The results are JSON already, images make them large: they are put in place without being parsed."""
    head = msgspec.json.encode({"uuid": uuid, "state": "SUCCESS", "duration_ms": duration})
    return b"".join((head[:-1], b',"results":', results, b"}"))
