"""`python -m tests.chaos`: CHAOS_SEEDS seeds from CHAOS_FIRST on, in two processes with servers of their own, so that PostgreSQL can be restarted."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

PROCESSES = 2


def main() -> int:
    """Share the seeds out, wait for all, and return the worst exit status."""
    first, seeds = int(os.environ.get("CHAOS_FIRST", "0")), int(os.environ.get("CHAOS_SEEDS", "500"))
    bounds = [first + seeds * part // PROCESSES for part in range(PROCESSES + 1)]
    command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "tests/chaos"]
    running = [
        subprocess.Popen(command, env={**os.environ, "CHAOS_FIRST": str(begin), "CHAOS_SEEDS": str(end - begin), "CHAOS_RESTARTS": "1"})
        for begin, end in pairwise(bounds)
        if end > begin
    ]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    raise SystemExit(main())
