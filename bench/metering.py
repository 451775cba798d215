"""What charging costs: reported runs into charged entries of 1,000 wallets, the time from a report to the balance, and a tick over 10,000 instances.

`python -m bench.metering [EVENTS]`, by default 200,000. Meters are processes as the product starts them; every sum is checked against what was reported.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import django

from bench.engine_processes import Engine, engine_servers
from bench.report import Figure, print_figures
from controlplane.embedded.applications import meter_words

WALLETS, INSTANCES = 1000, 10_000
RATE_GOAL, LAG_GOAL_MS, TICK_GOAL = 20_000, 200.0, 1.0
STEADY_RATE, STEADY_SECONDS, PUSHES_A_SECOND = 5000, 20, 20


def main(events: int) -> None:
    """Start the servers, measure, print the table."""
    with tempfile.TemporaryDirectory() as name, engine_servers(Path(name)) as engine:
        os.environ.update(engine.environment)
        django.setup()
        from deployments.usage_partitions import keep_usage_partitions

        keep_usage_partitions()
        figures = [throughput_figure(engine, events, meters=1), throughput_figure(engine, events, meters=2)]
        figures += [lag_figure(engine), *tick_figures()]
    print_figures(figures)


def throughput_figure(engine: Engine, events: int, *, meters: int) -> Figure:
    """Put runs into the stream, then let meters charge them."""
    from bench import metering_rows as rows

    payers = rows.make_payers(WALLETS)
    rows.report(payers, events)
    before = engine.cpu_seconds()
    began = time.perf_counter()
    start_meters(engine, meters)
    started = time.perf_counter() - began
    began = time.perf_counter()
    while rows.reported_left():
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    cpu = engine.cpu_seconds() - before
    engine.stop()
    rows.check_charged(payers, events)
    goal = float(RATE_GOAL) if meters == 1 else None
    # What was charged while the last meter was still starting is not counted for it.
    whole = seconds + (started if meters > 1 else 0.0)
    return Figure(
        f"runs charged each second, {WALLETS} wallets, {meters} meter{'s' if meters > 1 else ''}",
        events / whole,
        "/s",
        goal,
        f"{events} runs in {whole:.1f} s{', their start included' if meters > 1 else ''}, meters took {cpu:.1f} s of processor time",
        higher_is_better=True,
    )


def start_meters(engine: Engine, count: int) -> None:
    """Start meters; each is ready when it says so."""
    for number in range(count):
        engine.start(f"meter{number}", *meter_words(), says="meter ready.")


def lag_figure(engine: Engine) -> Figure:
    """Report runs at a steady rate, one of one wallet in each push, and look when that wallet's balance has it."""
    from bench import metering_rows as rows

    payers = rows.make_payers(WALLETS)
    start_meters(engine, 1)
    each = STEADY_RATE // PUSHES_A_SECOND
    packed = [rows.packed_push(payers, each, offset=number * each) for number in range(STEADY_SECONDS * PUSHES_A_SECOND)]
    pushed: list[float] = []
    pushing = threading.Thread(target=push_steadily, args=(packed, each, pushed))
    seen: list[float] = []
    pushing.start()
    total = STEADY_SECONDS * PUSHES_A_SECOND
    deadline = time.monotonic() + STEADY_SECONDS * 3
    while len(seen) < total and time.monotonic() < deadline:
        arrived = rows.runs_charged(payers[0])
        now = time.perf_counter()
        seen += [now] * (arrived - len(seen))
        # Looking more often would take the time of what is measured.
        time.sleep(0.025)
    pushing.join()
    engine.stop()
    lags = sorted((there - then) * 1000 for then, there in zip(pushed, seen, strict=False))
    remark = f"median {lags[len(lags) // 2]:.0f} ms, worst {lags[-1]:.0f} ms, {len(seen)} of {total} probes"
    return Figure(f"report to balance, 99th percentile at {STEADY_RATE}/s", lags[len(lags) * 99 // 100], "ms", LAG_GOAL_MS, remark)


def push_steadily(packed: list[bytes], each: int, pushed: list[float]) -> None:
    """Report runs, in even pushes."""
    from bench import metering_rows as rows

    began = time.perf_counter()
    for number, push in enumerate(packed):
        time.sleep(max(0.0, began + number / PUSHES_A_SECOND - time.perf_counter()))
        rows.send_push(push, each)
        pushed.append(time.perf_counter())


def tick_figures() -> list[Figure]:
    """Charge a minute of many instances, then at once again: nothing is charged twice."""
    from bench import metering_rows as rows
    from billing.metering import meter
    from deployments.meter import CHARGERS

    rows.make_instances(WALLETS, INSTANCES, seconds=60)
    began = time.perf_counter()
    charged = meter(threads=CHARGERS)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    again = meter(threads=CHARGERS)
    repeated = time.perf_counter() - began
    rows.check_instances(INSTANCES)
    name = f"a tick over {INSTANCES} instances of {WALLETS} wallets"
    return [
        Figure(name, seconds, "s", TICK_GOAL, f"{charged} spans charged"),
        Figure("the next tick, a moment later", repeated, "s", TICK_GOAL, f"{again} spans charged"),
    ]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
