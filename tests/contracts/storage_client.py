"""The public storage clients as objects of a test: calls go to a process of their own interpreter (`storage_session.py`)."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from tests.contracts.clients import CLIENTS, environment
from tests.contracts.person import Person

SESSION = Path(__file__).parent / "storage_session.py"
RAISED: dict[str, type[Exception]] = {"FileExistsError": FileExistsError, "FileNotFoundError": FileNotFoundError}


class ClientRaised(Exception):
    """The client raised something else than a file error; `status` is that of the answer, if there was one."""

    def __init__(self, name: str, message: str, status: int | None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.status = status


class ClientSession:
    """Every method of the client, called by its own name and arguments; a `Path` among them stands for the bytes of that file."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def together(self, name: str, calls: list[tuple[Any, ...]]) -> list[Any]:
        """Make many calls of one method at once."""
        return [_result(told) for told in self._exchange([{"name": name, "args": args, "kwargs": {}} for args in calls])]

    def content(self, stored: dict[str, Any]) -> bytes:
        """Read a small object."""
        return base64.b64decode(self.read(stored)["content"])

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        [told] = self._exchange([{"name": name, "args": args, "kwargs": kwargs}])
        return _result(told)

    def _exchange(self, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(calls, default=_encoded) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the client's process ended"
        told: list[dict[str, Any]] = json.loads(line)
        return told


@contextmanager
def client_session(person: Person, *, is_async: bool, **where: str) -> Iterator[ClientSession]:
    """Start a client of `project=<url>` or `endpoint=<url>`, perhaps with `bearer=<token>`; stop it at the end."""
    process = subprocess.Popen(
        [str(CLIENTS / "python"), str(SESSION), json.dumps({"is_async": is_async, **where})],
        env=environment(person.url, person.token, person.home),
        cwd=person.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield ClientSession(process)
        finally:
            process.kill()


def _encoded(value: Any) -> Any:
    match value:
        case bytes():
            return {"$bytes": base64.b64encode(value).decode()}
        case Path():
            return {"$file": str(value)}
        case timedelta():
            return {"$seconds": value.total_seconds()}
    raise TypeError(type(value))


def _result(told: dict[str, Any]) -> Any:
    if "gave" in told:
        return told["gave"]
    if told["raised"] in RAISED:
        raise RAISED[told["raised"]](told["message"])
    raise ClientRaised(told["raised"], told["message"], told["status"])
