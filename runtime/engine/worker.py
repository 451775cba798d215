"""An engine worker: one run at a time, answered over its own socket."""

import contextlib
import faulthandler
import os
import socket
import sys
import traceback

import msgspec

from runtime.engine.parent_death import flush_c_streams
from runtime.engine.runner import WorkflowRunner
from runtime.wire import Job, Ready, StartFailed, receive_frame, send_frame

_jobs = msgspec.msgpack.Decoder(Job)


def serve_runs(connection: socket.socket, runner: WorkflowRunner) -> None:
    """Serve until the HTTP process closes the connection. Ends the process: nothing of the engine is torn down."""
    faulthandler.enable(file=sys.stderr, all_threads=True)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    try:
        runner.initialise()
    except BaseException:
        send_frame(connection, StartFailed(traceback.format_exc()))
        os._exit(1)
    send_frame(connection, Ready(os.getpid()))
    with contextlib.suppress(OSError):
        while (body := receive_frame(connection)) is not None:
            outcome = runner.run(_jobs.decode(body))
            _flush()
            send_frame(connection, outcome)
    os._exit(0)


def _flush() -> None:
    """What the run printed must be in the log before its result: the log says which run it belongs to."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    flush_c_streams()
