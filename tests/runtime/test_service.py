"""Runs with storage inside the service: whatever happens, each that is in hand gets its answer."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from runtime.run_request import CheckedRun
from runtime.scratch import Scratch
from runtime.service import Service
from runtime.settings import parse_arguments
from runtime.transfers import Transfers
from runtime.wire import Job, Outcome


class NoTransfers(Transfers):
    """Nothing is fetched, and what happens on saving is given."""

    def __init__(self, problem: BaseException | None) -> None:
        self.problem = problem

    async def fetch(self, *arguments: Any) -> None:
        """Nothing."""

    async def save(self, outcome: Outcome, token: str) -> Outcome:
        """Fail, or change nothing."""
        if self.problem is not None:
            raise self.problem
        return outcome


def answer_of(tmp_path: Path, problem: BaseException | None) -> dict[str, Any]:
    """The answer of a run that the engine has finished."""

    async def run() -> dict[str, Any]:
        settings = parse_arguments(["--bundle", str(tmp_path), "--socket", str(tmp_path / "socket")])
        service = Service(settings)
        service._scratch, service._transfers = Scratch(tmp_path), NoTransfers(problem)

        async def execute(job: Job) -> Outcome:
            return Outcome(job.run, 1.0, b"[]", None)

        service._execute = execute  # type: ignore[method-assign]
        taken = service._runs.begin(str(uuid.uuid4()), b"{}")
        task = asyncio.create_task(service._run_with_storage(taken, CheckedRun(Job(taken.uuid, [], [], {})), ""))
        await asyncio.wait({task}, timeout=30)
        task.cancelled() or task.exception()
        assert taken.ended.is_set()
        answer: dict[str, Any] = json.loads(taken.answer)
        return answer

    return asyncio.run(run())


def test_a_folder_that_can_not_be_removed_takes_no_result_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(scratch: Scratch, folder: Path) -> None:
        raise RecursionError(folder)

    monkeypatch.setattr(Scratch, "remove", remove)
    assert answer_of(tmp_path, None)["state"] == "SUCCESS"


@pytest.mark.parametrize("problem", [RuntimeError("odd"), asyncio.CancelledError()], ids=["exception", "cancelled"])
def test_a_run_that_the_runtime_fails_on_gets_an_answer(tmp_path: Path, problem: BaseException) -> None:
    answer = answer_of(tmp_path, problem)
    assert (answer["state"], answer["error"]["code"]) == ("FAILURE", "runtime_failed")
    assert [path for folder in tmp_path.glob("runtime-*") for path in folder.iterdir() if path.name != "lock"] == []
