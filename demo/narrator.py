"""Says what happens and how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title at once, its seconds when it is done."""
    began = time.perf_counter()
    sys.stdout.write(f"  {title:<62}")
    sys.stdout.flush()
    try:
        yield
    except BaseException:
        sys.stdout.write("failed\n")
        raise
    sys.stdout.write(f"{time.perf_counter() - began:7.2f} s\n")
    sys.stdout.flush()


def say(text: str = "") -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
