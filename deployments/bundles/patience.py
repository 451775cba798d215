"""Work that says nothing of itself until it is done, such as sending a bundle to the object store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

LOOK_SECONDS = 0.25

Done = TypeVar("Done")


def ticking_through(work: Callable[[], Done], tick: Callable[[], None]) -> Done:
    """Return what `work` returns, and raise what it raises; `tick` is called about each 250 ms meanwhile, in the caller's thread.

    `work` has a thread of its own and must leave the database alone. What `tick` raises comes out when the work is over.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="build") as pool:
        future = pool.submit(work)
        while not wait([future], timeout=LOOK_SECONDS).done:
            tick()
    return future.result()
