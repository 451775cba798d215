"""Runs in the client's environment: the raw results of one run as JSON. Usage: one_result.py ENDPOINT PICTURE TASK"""

from __future__ import annotations

import json
import sys

from ikclient.core.client import Client


def main(endpoint: str, picture: str, task: str) -> None:
    """Run once."""
    with Client(endpoint) as client:
        results = client.run_task(task, picture)
        sys.stdout.write(json.dumps({"results": [result.raw for result in results]}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
