"""kill -9 of each part of the whole service in the middle of runs: every accepted run ends, and each is in the usage table once."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import psycopg
import pytest
import redis

from controlplane.common.ids import uuid7
from tests.contracts.endpoint import Ended, EndpointCaller
from tests.contracts.person import Person
from tests.contracts.processes import find_runtime, find_workers, kill
from tests.pictures import COINS
from tests.stack import Stack, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]
ECHO = Path(__file__).parents[1] / "runtime/workflows/echo"
RUNS, LATE_RUNS, RUN_S = 24, 6, "0.15"
SMALL_PICTURE = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
LONG_TEXT = "x" * 100_000


class Trial:
    """A deployment of the workflow `echo`, all runs that were accepted for it, and how often each was executed."""

    def __init__(self, stack: Stack, person: Person, endpoint: str) -> None:
        self.stack = stack
        self.caller = EndpointCaller(endpoint, person.get("/v1/projects/jwt/", endpoint=endpoint)["id_token"])
        with redis.from_url(stack.env["REDIS_URL"]) as valkey:
            route = json.loads(valkey.get(f"sw:route:{urlsplit(endpoint).path.strip('/')}"))
        self.deployment = route["deployment"]
        [replica] = route["replicas"]
        self.socket = Path(replica["address"].removeprefix("unix:"))
        self.workers = int(replica["workers"])
        self.ended: dict[str, Ended] = {}
        self.texts: dict[str, str] = {}
        # Inputs and results that fit into the record of a run, and others that are so large that they are kept elsewhere.
        self._sizes = itertools.cycle(itertools.product((SMALL_PICTURE, COINS.read_bytes()), ("", LONG_TEXT)))

    def body(self, run: str) -> dict[str, Any]:
        """Return a request whose execution leaves a line in a file of its own, in the one folder that the sandbox lets it write to."""
        picture, filling = next(self._sizes)
        self.texts[run] = run + filling
        parameters = {"seconds": RUN_S, "text": self.texts[run], "mark": str(self.socket.parent / run)}
        asked = [{"task_name": "echo", "task_index": 0, "parameters": parameters}]
        return {"inputs": [{"image": base64.b64encode(picture).decode()}], "outputs": [{"task_name": "echo"}], "parameters": asked}

    def accept(self) -> str:
        """Have a new run accepted."""
        run = str(uuid7())
        return self.caller.accept(self.body(run), run)

    def wait(self, run: str) -> Ended:
        """Wait for the end of a run."""
        self.ended[run] = self.caller.wait(run)
        return self.ended[run]

    def executions(self, run: str) -> int:
        """Return how often the engine began this run."""
        mark = self.socket.parent / run
        return len(mark.read_text().splitlines()) if mark.exists() else 0

    def strike(self, fault: Callable[[], object]) -> list[Ended]:
        """Let many runs be accepted, strike when the first has ended and another has just begun, and wait for them all."""
        self.caller.interruptions.clear()
        with ThreadPoolExecutor(RUNS + LATE_RUNS) as pool:
            early = list(pool.map(lambda _: self.accept(), range(RUNS)))
            self.wait(early[0])
            assert [self.executions(run) for run in early].count(0) > RUNS // 3, "the fault comes too late"
            late = [pool.submit(self.accept) for _ in range(LATE_RUNS)]
            begun = sum(map(self.executions, early))
            wait_until(lambda: sum(map(self.executions, early)) > begun, seconds=20, what="a run in hand", pause=0.005)
            fault()
            return list(pool.map(self.wait, [*early, *(run.result() for run in late)]))

    def runtime(self) -> int:
        """Return the process that serves the deployment."""
        return find_runtime(self.stack.pid("agent"), self.socket)

    def status(self) -> str:
        """Return the deployment's status."""
        with psycopg.connect(self.stack.env["DATABASE_URL"]) as connection:
            [[status]] = connection.execute("SELECT status FROM deployments_deployment WHERE id = %s", [self.deployment])
        return str(status)

    def usage(self) -> dict[str, str]:
        """Return the state of each run in the usage table."""
        query = "SELECT run, state FROM deployments_usageevent WHERE deployment_id = %s"
        with psycopg.connect(self.stack.env["DATABASE_URL"]) as connection:
            return {str(run): state for run, state in connection.execute(query, [self.deployment])}

    def reported(self) -> set[str]:
        """Return the runs whose usage events are still on their way, or have come a second time."""
        with redis.from_url(self.stack.env["REDIS_URL"], decode_responses=True) as valkey:
            entries = [fields for _, fields in valkey.xrange("sw:usage")]
        return {fields["run"] for fields in entries if fields["deployment"] == self.deployment}


@pytest.fixture(scope="module")
def trial(stack, person, deployed):
    return Trial(stack, person, deployed(json.loads((ECHO / "workflow.json").read_text()), echo=ECHO / "echo"))


def check_results(trial: Trial, ended: list[Ended]) -> None:
    """Each run succeeded with a result of its own."""
    assert [run.body for run in ended if run.status != 200] == []
    assert all(run.body["results"][0]["DATA_DICT"]["text"] == trial.texts[run.run] for run in ended)


def check_usage(trial: Trial) -> None:
    """The usage table has exactly the runs that were ever accepted, and no others are to come."""
    wait_until(lambda: set(trial.usage()) >= set(trial.ended), seconds=45, what="all runs in the usage table", pause=0.1)
    assert trial.reported() <= set(trial.ended)
    assert trial.usage() == {run.run: "SUCCESS" if run.status == 200 else "FAILURE" for run in trial.ended.values()}


def check_begun_anew(trial: Trial, ended: list[Ended]) -> None:
    """Only runs that were in hand when the engine died, or whose answer had not left it yet, were begun a second time."""
    times = [trial.executions(run.run) for run in ended]
    assert set(times) == {1, 2}
    assert times.count(2) <= 2 * trial.workers


def test_killed_engine_workers_lose_no_run(trial):
    ended = trial.strike(lambda: kill(*find_workers(trial.runtime())))
    check_results(trial, ended)
    check_begun_anew(trial, ended)
    check_usage(trial)
    assert trial.caller.interruptions == []


def test_a_killed_runtime_loses_no_run(trial):
    ended = trial.strike(lambda: kill(trial.runtime()))
    check_results(trial, ended)
    check_begun_anew(trial, ended)
    check_usage(trial)
    assert trial.caller.interruptions == []


def test_a_killed_agent_brings_its_runtimes_back(trial):
    ended = trial.strike(lambda: trial.stack.wait_restarted("agent", trial.stack.kill("agent")))
    assert trial.status() == "RUNNING"
    check_results(trial, ended)
    check_begun_anew(trial, ended)
    check_usage(trial)
    assert trial.caller.interruptions == []


def test_a_killed_gateway_loses_no_run_and_runs_none_twice(trial):
    ended = trial.strike(lambda: trial.stack.kill("gateway"))
    check_results(trial, ended)
    assert {trial.executions(run.run) for run in ended} == {1}
    check_usage(trial)
    assert trial.caller.interruptions


@pytest.mark.parametrize("name", ["valkey", "postgres", "seaweedfs", "worker", "builder"])
def test_other_killed_parts_are_not_even_noticed_by_callers(trial, name):
    old = trial.stack.pid(name)
    ended = trial.strike(lambda: trial.stack.kill(name))
    check_results(trial, ended)
    assert {trial.executions(run.run) for run in ended} == {1}
    trial.stack.wait_restarted(name, old)
    check_usage(trial)
    assert trial.caller.interruptions == []


def test_a_run_id_that_is_sent_again_is_the_same_run(trial):
    run = str(uuid7())
    body = trial.body(run)
    trial.wait(trial.caller.accept(body, run))
    status, answer = trial.caller.put(body, run)
    assert (status, answer["uuid"], answer["state"]) == (200, run, "SUCCESS")
    assert trial.executions(run) == 1
    check_usage(trial)


def test_a_run_id_of_another_request_is_refused(trial):
    run = trial.accept()
    status, answer = trial.caller.put(trial.body(str(uuid7())), run)
    assert (status, answer["code"]) == (409, "run_id_reused")
    check_results(trial, [trial.wait(run)])
    check_usage(trial)
