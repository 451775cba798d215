"""Runs in the client's environment: time `run_task` on one endpoint, alternating with a second one if given; medians as one JSON line.

Usage: run_client.py PICTURE TASK RUNS ENDPOINT,ORIGIN [ENDPOINT,ORIGIN …]; ORIGIN is where tokens come from.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

from ikclient.core.client import Client
from ikclient.core.io import ImageIO

WARM_UP = 10


def main(picture: str, task: str, runs: str, *endpoints: str) -> None:
    """Interleave the endpoints, so that a slow moment of the machine hits all of them."""
    clients = [make_client(*pair.split(",")) for pair in endpoints]
    taken: list[list[float]] = [[] for _ in clients]
    for number in range(int(runs) + WARM_UP):
        for client, times in zip(clients, taken, strict=True):
            began = time.perf_counter()
            client.run_task(task, picture).get_output(assert_type=ImageIO)
            if number >= WARM_UP:
                times.append((time.perf_counter() - began) * 1000)
    for client in clients:
        client.close()
    sys.stdout.write(json.dumps({"median_ms": [statistics.median(times) for times in taken]}) + "\n")


def make_client(endpoint: str, origin: str) -> Client:
    """Return a client of one endpoint; the library reads the origin of tokens from the environment."""
    os.environ["IKOMIA_URL"] = origin
    return Client(endpoint)


if __name__ == "__main__":
    main(*sys.argv[1:])
