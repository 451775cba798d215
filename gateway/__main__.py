"""`python -m gateway`: one gateway process."""

from __future__ import annotations

import logging
import resource
import signal
import socket
import sys
from types import FrameType

import uvicorn

from gateway.app import Application
from gateway.settings import Settings


class Server(uvicorn.Server):
    """uvicorn, telling the application of a signal before it waits for the requests in hand."""

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain, then end."""
        self._application.drain()
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 picks a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def raise_file_limit() -> None:
    """Use as many file descriptors as the system lets this process have: each waiting caller is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    raise_file_limit()
    settings = Settings.from_environment()
    application = Application(settings)
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=int(settings.long_poll) + 5,
        backlog=2048,
    )
    listener = listen(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    print(f"gateway listening on http://{host}:{port}", flush=True)
    server = Server(config, application)
    # uvicorn raises the signal again after a clean end, so that parents see it; a drained gateway ended well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
