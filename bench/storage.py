"""What the storage costs: files through the API and directly, beside boto3 at the same object store; pages of a long list; memory.

`python -m bench.storage`. Our side and boto3 take turns, so that a slow moment of the machine hits both: trust the ratios of the medians.
"""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.report import Figure, print_figures
from bench.storage_clients import ApiClient, Boto, blocks_of, put_directly, put_parts_directly, until_done
from controlplane.embedded.processes import descendants
from demo.journey import Journey
from tests.contracts.storage_facts import insert_objects
from tests.stack import Stack, running_stack

T = TypeVar("T")
MB = 1_000_000
FILE, LARGE = 100 * MB, 2000 * MB
ROUNDS = 5
LISTED, PAGE = 10_000, 1000
THROUGH_GOAL, DIRECT_GOAL, PAGE_GOAL_MS, MEMORY_GOAL_MB = 70, 95, 100, 150


def main() -> None:
    """Start a service of its own, measure, print the table."""
    # What is measured is more than the free plan allows.
    with running_stack(PERSONAL_PLAN="internal") as stack, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project, token = storage_project(stack, folder)
        figures = [memory_figure(stack, token)]
        api = ApiClient(stack.url, token)
        figures += [*transfer_figures(api, Boto(stack), folder), listing_figure(stack, api, project)]
    print_figures(figures)


def storage_project(stack: Stack, folder: Path) -> tuple[str, str]:
    """Sign somebody up, give them a project; return its address and a token of its storage."""
    journey = Journey(stack.url, folder)
    journey.sign_in()
    journey.clients.command("project", "add", journey.username, "bench")
    project = str(journey.get(f"{stack.url}/v1/projects/?name=bench")["results"][0]["url"])
    return project, str(journey.get(f"{project}jwt/?storage=true")["id_token"])


def memory_figure(stack: Stack, token: str) -> Figure:
    """Let a large file pass up and down through a new web process: one that hashed a password once had 100 MB more for a moment."""
    stack.wait_restarted("web", stack.kill("web"))
    worker = max(descendants(stack.pid("web")), key=peak_mb)
    before, began = peak_mb(worker), time.perf_counter()
    api = ApiClient(stack.url, token)
    stored = api.upload("large", itertools.repeat(os.urandom(MB), LARGE // MB), LARGE)
    between, turned = peak_mb(worker), time.perf_counter()
    assert api.download(stored["uid"], None) == LARGE
    ended = time.perf_counter()
    rates = f"up {LARGE / MB / (turned - began):.0f} MB/s, down {LARGE / MB / (ended - turned):.0f} MB/s"
    remark = f"{before:.0f} before, {between:.0f} after the upload; {rates}"
    return Figure("storage: peak memory of the web process, 2 GB up and down", peak_mb(worker), "MB", MEMORY_GOAL_MB, remark)


def peak_mb(pid: int) -> float:
    """Return the most memory that a process has ever held."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / MB


def transfer_figures(api: ApiClient, boto: Boto, folder: Path) -> list[Figure]:
    """Send and fetch a file in every way, in turns."""
    path, target = folder / "file", folder / "target"
    path.write_bytes(os.urandom(FILE))
    uid = api.upload("file", blocks_of(path), FILE)["uid"]
    boto.upload(path)
    checked: list[float] = []

    def await_object(upload: str) -> None:
        checked.append(timed(lambda: until_done(api, upload))[0])

    return [
        beside_boto("upload through the API", lambda: api.upload("file", blocks_of(path), FILE), lambda: boto.upload(path), THROUGH_GOAL),
        beside_boto("download through the API", lambda: api.download(uid, target), lambda: boto.download(target), THROUGH_GOAL),
        beside_boto("direct upload, one request", lambda: put_directly(api, path), lambda: boto.put(path), DIRECT_GOAL),
        beside_boto(
            "direct upload in parts", lambda: put_parts_directly(api, path), lambda: boto.upload(path), DIRECT_GOAL, settle=await_object
        ),
        Figure("storage: then, until a worker has read and checked it", statistics.median(checked), "s"),
    ]


def beside_boto(
    name: str, ours: Callable[[], T], theirs: Callable[[], object], goal: int, *, settle: Callable[[T], None] = lambda _: None
) -> Figure:
    """Measure both in turns, the first one to warm up; return our rate in percent of boto3's. `settle` is not part of our time."""
    taken = []
    for _ in range(ROUNDS + 1):
        our_seconds, made = timed(ours)
        settle(made)
        taken.append((our_seconds, timed(theirs)[0]))
    mine, botos = (statistics.median(seconds) for seconds in zip(*taken[1:], strict=True))
    remark = f"{FILE / MB / mine:.0f} MB/s, boto3 {FILE / MB / botos:.0f} MB/s"
    return Figure(f"storage: {name}, 100 MB, of boto3's rate", 100 * botos / mine, "%", goal, remark, higher_is_better=True)


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return how many seconds a call takes, and what it gives."""
    began = time.perf_counter()
    given = call()
    return time.perf_counter() - began, given


def listing_figure(stack: Stack, api: ApiClient, project: str) -> Figure:
    """Read a long list page by page."""
    insert_objects(stack, project, [f"frames/{number % 100:02}/{number:06}.png" for number in range(LISTED)])
    taken = []
    for page in range(1, LISTED // PAGE + 1):
        for _ in range(3):
            seconds, told = timed(lambda page=page: api.get(f"/v1/objects/frames/?page={page}"))  # type: ignore[misc]
            assert (told["count"], len(told["results"])) == (LISTED, PAGE)
            taken.append(seconds * 1000)
    remark = f"slowest of {len(taken)}: {max(taken):.0f}"
    return Figure("storage: a page of a list of 10,000 objects", statistics.median(taken), "ms", PAGE_GOAL_MS, remark)


if __name__ == "__main__":
    main()
