"""A deployment is updated and resized while it is called 50 times a second: how many calls that costs, and what the others notice.

`python -m bench.update_under_load` measures it alone; `make bench` on the service that it has started. All is real: gateway, workers, local driver,
engine. A call is lost when it ends in anything but its results; none is sent again.
"""

from __future__ import annotations

import base64
import json
import shutil
import statistics
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.open_loop import Call, OpenLoop
from bench.report import Figure, print_figures
from demo.clients import ROOT
from demo.journey import Journey
from demo.narrator import step
from demo.service import running_service
from tests.pictures import COINS

RATE = 50.0
QUIET_S = 10.0
PATIENCE_S = 120.0
PROJECT, WORKFLOW = "busy", "blur"
HERE = Path(__file__).parent


def update_figures(journey: Journey) -> list[Figure]:
    """Measure on a running service."""
    journey.clients.command("project", "add", journey.username, PROJECT)
    journey.push(PROJECT, WORKFLOW)
    deployment = journey.deploy(PROJECT, WORKFLOW)
    loop = OpenLoop(deployment["endpoint"], token_for(journey, deployment["endpoint"]), body_of(journey), RATE)
    with loop.running():
        time.sleep(QUIET_S)
        quiet = time.monotonic()
        journey.push(PROJECT, WORKFLOW)
        change(journey, deployment["url"], {})
        updated = time.monotonic()
        change(journey, deployment["url"], {"size": "M"})
        resized = time.monotonic()
        time.sleep(QUIET_S)
    lost = [call for call in loop.calls if call.failure]
    told = [
        f"before {latencies(loop.between(0.0, quiet))}",
        f"update ({updated - quiet:.0f} s) {latencies(loop.between(quiet, updated))}",
        f"resize ({resized - updated:.0f} s) {latencies(loop.between(updated, resized))}",
    ]
    remark = f"of {len(loop.calls)}; p50/p99 ms: {', '.join(told)}" + (f"; the first: {lost[0].failure}" if lost else "")
    return [Figure(f"calls lost by an update and a resize at {RATE:.0f} calls/s", len(lost), "", 0, remark)]


def latencies(calls: list[Call]) -> str:
    """Return the median and the 99th percentile in ms."""
    times = sorted(call.seconds * 1000 for call in calls)
    return f"{statistics.median(times):.0f}/{times[int(len(times) * 0.99)]:.0f}" if times else "none"


def token_for(journey: Journey, endpoint: str) -> str:
    """Return a token of the endpoint."""
    return str(journey.get(f"{journey.url}/v1/projects/jwt/?endpoint={endpoint}")["id_token"])


def body_of(journey: Journey) -> bytes:
    """Return a request with a small picture: the call counts here, not the engine."""
    picture = journey.home / "small.jpg"
    journey.clients.script(HERE / "make_picture.py", str(COINS), str(picture), "160", "120")
    inputs = [{"image": base64.b64encode(picture.read_bytes()).decode()}]
    return json.dumps({"inputs": inputs, "outputs": [{"task_name": "ocv_blur"}], "parameters": []}).encode()


def change(journey: Journey, url: str, wanted: dict[str, Any]) -> None:
    """Redeploy with the newest version and perhaps another size; return once it serves and all that it replaced is gone."""
    before = revisions(journey, url)
    request = urllib.request.Request(
        url,
        json.dumps(wanted).encode(),
        {"Authorization": journey.authorization, "Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=30).close()
    wait_until(lambda: len(revisions(journey, url)) > len(before) and revisions(journey, url)[0]["state"] == "SERVED", str(wanted))
    wait_until(lambda: len(living(journey, url)) == 1, "one replica")


def revisions(journey: Journey, url: str) -> list[dict[str, Any]]:
    """Return the history, the newest first."""
    return list(journey.get(f"{url}revisions/")["results"])


def living(journey: Journey, url: str) -> list[dict[str, Any]]:
    """Return the replicas that are not gone."""
    return [replica for replica in journey.get(f"{url}replicas/")["results"] if replica["status"] != "TERMINATED"]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look five times a second."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"Waited {PATIENCE_S:.0f} s for {what}.")
        time.sleep(0.2)


def main() -> None:
    """Start a service for it alone."""
    folder = ROOT / ".demo" / "bench-update"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with running_service(ROOT, step, PERSONAL_PLAN="internal") as service:
        journey = Journey(service.url, folder)
        journey.sign_in()
        with step("an update and a resize under load"):
            figures = update_figures(journey)
    print_figures(figures)


if __name__ == "__main__":
    main()
