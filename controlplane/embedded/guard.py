"""Two processes that watch each other, so that no `kill -9` leaves anything running.

The front process is the one that the person sees. It holds one end of a pipe and forks the supervisor. When the front is killed the pipe
closes and the supervisor stops everything; when the supervisor is killed the front ends everything below. Both are subreapers: whatever
detaches itself from its parent becomes theirs. Both at once: direct children have a death signal.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from controlplane.embedded.processes import adopt_orphans, end_descendants
from controlplane.embedded.waiting import STOPPING

# Servers get their death signal when the supervisor is killed; this long they have to follow it.
GRACE_SECONDS = 4.0


def run_guarded(supervise: Callable[[int], int]) -> int:
    """Run `supervise(lifeline)` in a forked process; returns its exit status once nothing is left below this process.

    `lifeline` is the read end of the pipe. Must be called from the only thread.
    """
    adopt_orphans()
    lifeline, held = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(held)
        _supervise(supervise, lifeline)
    os.close(lifeline)
    status = _watch(pid)
    end_descendants(grace=GRACE_SECONDS if status < 0 else 0.0)
    os.close(held)
    return status if status >= 0 else 1


def _supervise(supervise: Callable[[int], int], lifeline: int) -> None:
    """The forked side. Never returns."""
    status = 1
    try:
        os.setsid()
        adopt_orphans()
        status = supervise(lifeline)
        end_descendants(grace=0.0)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _watch(pid: int) -> int:
    """Forward signals to the supervisor until it ends; returns its exit status, negative for a signal."""

    def forward(_number: int, _frame: FrameType | None) -> None:
        os.kill(pid, signal.SIGTERM)

    for number in STOPPING:
        signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    while True:
        ended, status = os.wait()
        if ended == pid:
            for number in STOPPING:
                signal.signal(number, signal.SIG_IGN)
            return os.waitstatus_to_exitcode(status)
