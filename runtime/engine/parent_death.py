"""Die when the parent dies (Linux)."""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Ask for SIGKILL at the parent's death; ends at once when `parent` has died before this was in force."""
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os._exit(1)


def flush_c_streams() -> None:
    """Write out what C and C++ code has printed into its buffers."""
    _libc.fflush(None)
