"""What a run brings from project storage and leaves there: in threads, a few objects at a time for all runs together."""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from runtime.errors import InputTooLarge
from runtime.log import write_log
from runtime.run_inputs import StorageReference
from runtime.scratch import Scratch
from runtime.settings import MEGABYTE
from runtime.storage.connection import StorageConnections
from runtime.storage.inputs import InputFetcher
from runtime.storage.upload import upload_file
from runtime.wire import Job, Outcome, SavedFile

AT_A_TIME = 4

P = ParamSpec("P")
T = TypeVar("T")


class Transfers:
    """`limit` is what the inputs of one run may have together, in bytes."""

    def __init__(self, connections: StorageConnections, scratch: Scratch, limit: int) -> None:
        self._connections = connections
        self._scratch = scratch
        self._limit = limit
        self._inputs = InputFetcher(connections, scratch)
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="transfer")

    async def fetch(self, job: Job, references: dict[int, StorageReference], token: str, folder: Path) -> None:
        """Complete a job's inputs with files; raises a TransferFailed that names the input."""
        wanted = [
            await self._in_thread(self._inputs.describe, job.run, index, reference, token, folder)
            for index, reference in references.items()
        ]
        total = sum(one.stored.size for one in wanted)
        if total > self._limit:
            raise InputTooLarge(
                f"The storage objects of this run have {total / MEGABYTE:.1f} MB together, "
                f"a run may bring {self._limit / MEGABYTE:.0f} MB: send less at a time."
            )
        self._scratch.check_room(total)
        for one in wanted:
            job.inputs[one.index] = await self._in_thread(self._inputs.fetch, one, self._limit - total)
            total += one.unpacked

    async def save(self, outcome: Outcome, token: str) -> Outcome:
        """Store an outcome's files and put what names them into their places; raises a TransferFailed."""
        if not outcome.saved or outcome.results is None:
            return outcome
        results = msgspec.json.decode(outcome.results, type=list[msgspec.Raw])
        for saved in outcome.saved:
            results[saved.position] = msgspec.Raw(await self._in_thread(self._upload, outcome.run, saved, token))
        return Outcome(outcome.run, outcome.duration_ms, msgspec.json.encode(results), None)

    def close(self) -> None:
        """End all transfers."""
        self._connections.close()
        self._threads.shutdown(cancel_futures=True)

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def _upload(self, run: str, saved: SavedFile, token: str) -> bytes:
        size, began = os.path.getsize(saved.path), time.perf_counter()
        result = upload_file(self._connections, saved, token)
        seconds = time.perf_counter() - began
        message = f"result {saved.position} ({saved.data_type}) went to storage: {size / MEGABYTE:.2f} MB in {seconds:.2f} s"
        write_log("INFO", message, run=run)
        return result
