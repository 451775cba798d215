"""The HTTP process: listens, starts the engine, and ends both in order."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
import uvloop

from runtime.app import Application
from runtime.log import write_log
from runtime.service import Service
from runtime.settings import Settings

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
CLOSE_SECONDS = 2
SOCKET_MODE = 0o666


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: here SIGTERM finishes the runs in hand first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _LogHandler(logging.Handler):
    """uvicorn's own messages, in the same form as all others."""

    def emit(self, record: logging.LogRecord) -> None:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        write_log("ERROR" if record.levelno >= logging.ERROR else "WARNING", record.getMessage(), traceback=trace)


def serve(settings: Settings) -> int:
    """Serve until told to stop; gives the exit code."""
    logging.basicConfig(level=logging.WARNING, handlers=[_LogHandler()], force=True)
    listener = _listen(settings.socket)
    try:
        uvloop.run(_serve(settings, listener))
    finally:
        listener.close()
        settings.socket.unlink(missing_ok=True)
    return 0


def _listen(path: Path) -> socket.socket:
    """A socket file that a dead predecessor left behind is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(SOCKET_MODE)
    listener.listen(BACKLOG)
    return listener


async def _serve(settings: Settings, listener: socket.socket) -> None:
    service = Service(settings)
    server = _Server(
        uvicorn.Config(
            Application(service, settings),
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=CLOSE_SECONDS,
        )
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service.start()
    write_log("INFO", f"runtime started, process {os.getpid()}")
    stopper = loop.create_task(_stop_when_told(stop, service, server))
    try:
        await server.serve(sockets=[listener])
    finally:
        stopper.cancel()
        service.close()
        write_log("INFO", "runtime stopped")


async def _stop_when_told(stop: asyncio.Event, service: Service, server: uvicorn.Server) -> None:
    await stop.wait()
    write_log("INFO", "stopping: runs in hand are finished first")
    await service.drain()
    server.should_exit = True
