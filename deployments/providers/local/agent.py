"""`python -m deployments.providers.local.agent`: the local driver's long-living process.

Listens on AGENT_SOCKET (mode 0600), keeps its state below <DATA_DIR>/agent. SIGTERM drains every runtime and ends; if the agent is
killed, the kernel kills the runtimes with it, and the next start brings them back.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import uvicorn
from django.conf import settings

from controlplane.common.objectstore import object_store
from deployments.providers.local.api import AgentApi
from deployments.providers.local.bundle_cache import BundleCache
from deployments.providers.local.fleet import Fleet
from deployments.providers.local.host import Folders, Host
from deployments.providers.local.limits import GROUP_PREFIX, find_limiter
from deployments.providers.local.sandbox import find_sandbox

logger = logging.getLogger("slipway.agent")


class Server(uvicorn.Server):
    """Uvicorn that leaves the signals to the agent."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture nothing."""
        yield


def open_bundle(digest: str) -> IO[bytes]:
    """Return the stream of a stored bundle."""
    return object_store().open_stream(f"bundles/{digest}.tar")


def make_host() -> Host:
    """Look at the machine once: folders, sandbox, limits."""
    folders = Folders.make(Path(settings.DATA_DIR).resolve() / "agent")
    code = Path(__file__).resolve().parents[3]
    group = f"{GROUP_PREFIX}{hashlib.sha256(os.fsencode(folders.root)).hexdigest()[:12]}"
    return Host(
        folders=folders,
        bundles=BundleCache(folders.bundles, open_bundle, limit=settings.AGENT_BUNDLE_BYTES),
        sandbox=find_sandbox(
            python=Path(settings.RUNTIME_PYTHON), code=code, scratch=folders.run, wanted=os.environ.get("AGENT_SANDBOX", "auto")
        ),
        limiter=find_limiter(group),
        origin=settings.PUBLIC_URL,
        cores=len(os.sched_getaffinity(0)),
    )


def listen(path: Path) -> socket.socket:
    """Return a listening socket that only this user may open. A second agent on the same socket is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as other:
        if other.connect_ex(str(path)) == 0:
            raise RuntimeError(f"Another agent listens on {path}.")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    former = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(former)
    listener.listen(128)
    return listener


async def run_agent(path: Path) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    listener = listen(path)
    host = await asyncio.to_thread(make_host)
    fleet = Fleet(host)
    fleet.resume()
    server = Server(uvicorn.Config(AgentApi(fleet), lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    logger.info("agent listens on %s, isolation %s", path, host.isolation)
    await server.serve(sockets=[listener])
    await fleet.close()


def main() -> int:
    """Start the agent."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    os.umask(0o022)
    path = Path(settings.AGENT_SOCKET)
    try:
        asyncio.run(run_agent(path))
    except RuntimeError as error:
        logger.critical("%s", error)
        return 1
    path.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
