"""pytest plugin (`-p tests.servers`): real PostgreSQL, Valkey and SeaweedFS for the whole test run, started while tests are collected.

Settings get their addresses from the environment, so this comes before Django loads. Workers of xdist use the controller's servers, each
with a database, a Valkey database and a bucket of its own. With DATABASE_URL set nothing is started. The servers end with this process,
however it ends.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from urllib.parse import urlsplit

import pytest

from controlplane.embedded.datadir import DataDir, temporary_folder
from controlplane.embedded.options import REPOSITORY
from controlplane.embedded.processes import die_with_parent
from controlplane.embedded.stackfile import read_stack

START_SECONDS = 60.0
IDLE_OPTIONS = ("--collect-only", "--co", "--help", "-h", "--version", "-V", "--fixtures", "--markers")


class Servers:
    """The three servers on a folder of their own, under the supervisor of the embedded stack, which deletes the folder at its end."""

    def __init__(self) -> None:
        self.folder = temporary_folder() / f"slipway-test-{secrets.token_hex(8)}"
        parent = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "controlplane.embedded", "--servers-only", "--throwaway", "--data-dir", str(self.folder)],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM, parent),  # noqa: PLW1509 - pytest has one thread at this point
        )

    def settings(self) -> dict[str, str]:
        """Addresses and secrets, known before the servers answer."""
        path = self.folder / "env.json"
        self._await(path.exists)
        settings: dict[str, str] = json.loads(path.read_text())
        return settings

    def await_ready(self) -> None:
        """Return once all three answer."""
        self._await(lambda: bool(read_stack(DataDir(self.folder)).get("ready")))

    def _await(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise pytest.UsageError(f"The test servers did not start:\n{self.stop()}")
            time.sleep(0.01)

    def stop(self) -> str:
        """Stop them and return all that the supervisor has said."""
        self.process.terminate()
        return self.process.communicate(timeout=60)[0].decode()


servers: Servers | None = None


def settings_of_worker(settings: dict[str, str], worker: str) -> dict[str, str]:
    """The controller's settings with a Valkey database and a bucket for this xdist worker ("gw3"); pytest-django sees to the database."""
    number = int(worker.removeprefix("gw")) + 1
    return {"REDIS_URL": urlsplit(settings["REDIS_URL"])._replace(path=f"/{number}").geturl(), "S3_BUCKET": f"slipway-{worker}"}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> Generator[None]:
    """Start, or join, before pytest-django loads the settings (a wrapper's first part runs before every plain implementation)."""
    global servers
    # Tests of other rooms neither pay nor count: billing's own choose their plans.
    os.environ.update({"PERSONAL_PLAN": "internal", "ORGANIZATION_PLAN": "internal"})
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ.update(settings_of_worker(dict(os.environ), worker))
    elif "DATABASE_URL" not in os.environ and not set(args) & set(IDLE_OPTIONS):
        servers = Servers()
        os.environ.update(servers.settings())
    else:
        os.environ.setdefault("SLIPWAY_NO_SECRETS", "true")
    try:
        return (yield)
    except BaseException:
        stop_servers()
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish() -> None:
    """Tests start only when the servers answer (they have started while tests were collected)."""
    if servers:
        servers.await_ready()


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure() -> None:
    """Stop what this process has started."""
    stop_servers()


def stop_servers() -> None:
    """Stop the servers of this process, if it has any."""
    global servers
    if servers:
        servers.stop()
        servers = None
