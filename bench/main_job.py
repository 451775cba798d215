"""The main job's figures: what a run through ikclient costs over the engine's own time, and push to RUNNING on a warm machine."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report import Figure
from demo.clients import ROOT
from demo.journey import Journey
from tests.pictures import COINS

RUNS = 200
DEPLOYMENTS = 5
OVERHEAD_GOAL_MS = 10.0
RUNNING_GOAL_S = 5.0
LOG_PATIENCE_S = 20
HERE = Path(__file__).parent


def main_job_figures(journey: Journey) -> list[Figure]:
    """Measure on a running service."""
    running = [seconds_to_running(journey, f"warm{number}") for number in range(DEPLOYMENTS + 1)][1:]
    deployment = journey.deploy("warm1", "blur")
    picture = journey.home / "picture.jpg"
    journey.clients.script(HERE / "make_picture.py", str(COINS), str(picture), "640", "480")
    with bare_server(journey, deployment["endpoint"], picture) as bare:
        pairs = [f"{deployment['endpoint']},{journey.url}", f"{bare},{bare}"]
        told = journey.clients.script(HERE / "run_client.py", str(picture), "ocv_blur", str(RUNS), *pairs)
    ours, bare_ms = told["median_ms"]
    engine = statistics.median(engine_times(journey, deployment["url"]))
    name = "blur 640x480 through ikclient, over the engine's own time"
    return [
        Figure(name, ours - engine, "ms", OVERHEAD_GOAL_MS, f"total {ours:.1f}, engine {engine:.1f}"),
        Figure("the same call against a bare server that only answers", bare_ms, "ms", None, "most of it is the client"),
        Figure(
            "push to RUNNING, warm (median)",
            statistics.median(running),
            "s",
            RUNNING_GOAL_S,
            f"slowest of {DEPLOYMENTS}: {max(running):.2f}",
        ),
    ]


def seconds_to_running(journey: Journey, project: str) -> float:
    """Push the blur workflow to a new project and deploy it; return the seconds from the push to RUNNING."""
    journey.clients.command("project", "add", journey.username, project)
    began = time.perf_counter()
    journey.push(project, "blur")
    journey.deploy(project, "blur")
    return time.perf_counter() - began


def engine_times(journey: Journey, deployment_url: str) -> list[float]:
    """Return the engine's own milliseconds of the last runs, as the deployment's log tells them (it is written within a second or two)."""
    deadline = time.monotonic() + LOG_PATIENCE_S
    while time.monotonic() < deadline:
        logs = journey.get(f"{deployment_url}logs/?limit=10000")["logs"]
        times = [float(found.group(1)) for line in logs if (found := re.search(r"succeeded in ([\d.]+) ms", str(line["message"])))]
        if len(times) >= RUNS:
            return times[-RUNS:]
        time.sleep(0.2)
    raise SystemExit(f"The log has {len(times)} runs after {LOG_PATIENCE_S} s, {RUNS} were made.")


@contextmanager
def bare_server(journey: Journey, endpoint: str, picture: Path) -> Iterator[str]:
    """Serve the endpoint's own workflow and one of its results from memory; yield the address."""
    workflow, result = picture.with_name("bare_workflow.json"), picture.with_name("bare_result.json")
    workflow.write_text(json.dumps(journey.endpoint_get(endpoint, "/workflow")))
    told = journey.clients.script(HERE / "one_result.py", endpoint, str(picture), "ocv_blur")
    result.write_text(json.dumps(told["results"]))
    command = [sys.executable, str(HERE / "bare_server.py"), str(workflow), str(result)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()
