"""What the deployment engine costs: from request to RUNNING for many deployments at once, and at rest with a thousand.

`python -m bench.engine [COUNT ...]`, by default 100 and 300. Two workers and beat as the product starts them, on a fake cloud whose calls take
20-80 ms and whose machines boot in 4-12 s. Requests go through the service that the API calls. At rest: processor time of workers and beat with
RUNNING deployments that gateways have asked for, less what the same processes take with none before and after.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import django

from bench.engine_processes import Engine, engine_servers
from bench.report import Figure, print_figures
from bench.slow_cloud import connect

# Deployments at once, and the seconds in which all of them are to run.
GOALS = {100: 30.0, 300: 90.0}
RESTING = 1000
# Some turns of the sweep, in which either worker sees everything once.
SETTLING_SECONDS = 40.0
IDLE_SECONDS = 60.0
IDLE_GOAL = 1.0
PATIENCE_SECONDS = 600.0


def main(counts: list[int], resting_count: int = RESTING) -> None:
    """Start everything, measure, print the table."""
    # What is measured is more than the free plan allows.
    with tempfile.TemporaryDirectory() as name, engine_servers(Path(name), PERSONAL_PLAN="internal") as engine:
        os.environ.update(engine.environment)
        django.setup()
        engine.start_cloud()
        engine.start_workers()
        cloud = connect(engine.socket)
        figures = [figure for count in counts for figure in starting_figures(engine, cloud, count)]
        print_figures([*figures, *resting_figures(engine, cloud, resting_count)])


def starting_figures(engine: Engine, cloud: Any, count: int) -> list[Figure]:
    """Ask for many deployments at once and wait until all run: of one version that is built once, and of a version each."""
    from bench import engine_rows as rows

    owner = rows.make_owner()
    figures = []
    for versions, what in ((1, "one version"), (count, "a version each")):
        workflows = [rows.make_workflow(owner) for _ in range(versions)]
        cloud.take_counts()
        before = engine.cpu_seconds()
        seconds = rows.run_all(owner, [workflows[number % versions] for number in range(count)], timeout=PATIENCE_SECONDS)
        cpu = (engine.cpu_seconds() - before) / count * 1000
        goal = GOALS.get(count)
        share = f"{seconds[-1] / goal:.2f} of the goal; " if goal else ""
        calls = ", ".join(f"{number / count:.1f} {name}" for name, number in sorted(cloud.take_counts().items()))
        remark = f"{share}median {statistics.median(seconds):.1f}; each took {cpu:.0f} ms of a core; calls: {calls}"
        figures.append(Figure(f"engine: {count} deployments to RUNNING, {what}", seconds[-1], "s", goal, remark))
        rows.forget_all(cloud)
    return figures


def resting_figures(engine: Engine, cloud: Any, count: int) -> list[Figure]:
    """Measure at rest: with many of each kind, and with none before and after, for what else the machine does is never quite the same."""
    from bench import engine_rows as rows

    owner = rows.make_owner()
    figures = []
    before = share_of_a_core(engine)
    for flavour in ("CLUSTER", "SERVERLESS"):
        rows.at_rest(owner, count, flavour, cloud)
        share = share_of_a_core(engine)
        rows.forget_all(cloud)
        after = share_of_a_core(engine)
        cost = share - (before + after) / 2
        remark = f"{share:.2f} % with them, {before:.2f} and {after:.2f} % with none"
        figures.append(Figure(f"engine: {count} {flavour} deployments at rest, of a core", cost, "%", IDLE_GOAL, remark))
        before = after
    return figures


def share_of_a_core(engine: Engine) -> float:
    """Return what workers and beat take of a core, in percent, while nothing is asked of them."""
    time.sleep(SETTLING_SECONDS)
    cpu, began = engine.cpu_seconds(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return 100 * (engine.cpu_seconds() - cpu) / (time.monotonic() - began)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or list(GOALS))
