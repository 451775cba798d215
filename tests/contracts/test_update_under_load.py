"""A deployment changes while the unmodified client calls it without pause: update, resize, restart and roll-back cost nobody a call."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.clients import CLIENTS, SESSION, environment
from tests.contracts.conftest import PROJECT
from tests.contracts.person import Person
from tests.contracts.workflows import only_blur
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
NAME = "busy_blur"
THREADS = 2
SHARP, SOFT = "1", "31"
# Calls of each kind that have to be seen before the next change: all threads are in it.
ENOUGH = 3 * THREADS
PATIENCE_S = 60


class Caller:
    """A process that calls an endpoint through the client library until it is told to stop."""

    def __init__(self, person: Person, endpoint: str, picture: str, folder: Path) -> None:
        self.journal, self.stop = folder / "journal", folder / "stop"
        self.journal.touch()
        arguments = {"endpoint": endpoint, "picture": picture, "threads": THREADS, "journal": str(self.journal), "stop": str(self.stop)}
        self.process = subprocess.Popen(
            [str(CLIENTS / "python"), str(SESSION), "keep_calling", json.dumps(arguments)],
            env=environment(person.url, person.token, person.home),
            cwd=person.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls that have ended, in their order."""
        return [json.loads(line) for line in self.journal.read_text().splitlines(keepends=True) if line.endswith("\n")]

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The calls that failed."""
        return [call for call in self.calls if "failure" in call]

    def wait_for(self, wanted: Callable[[float], bool], *, what: str) -> None:
        """Wait until the last calls, as many as are enough, all look as wanted (or one has failed)."""

        def seen() -> bool:
            last = self.calls[-ENOUGH:]
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            return bool(self.failures) or (len(last) == ENOUGH and all(wanted(roughness(call)) for call in last))

        wait_until(seen, seconds=PATIENCE_S, what=f"calls that look {what}", pause=0.1)

    def close(self) -> None:
        """Stop calling; each call in hand is waited for."""
        self.stop.touch()
        _, complaint = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, complaint


def roughness(call: dict[str, Any]) -> float:
    """How rough the picture of a call is: the small blur leaves more of it than the large one."""
    return float(call["looks"][0]["roughness"])


class Busy:
    """The deployment that is changed, and how its two versions look."""

    def __init__(self, person: Person, picture: str) -> None:
        self.person, self.picture = person, picture
        self.push(SHARP)
        shown = person.deploy(PROJECT, NAME, "AWS", "FRANCE", "CLUSTER")
        self.url, self.endpoint = shown["url"], shown["endpoint"]
        [look] = person.ask("run", endpoint=self.endpoint, picture=picture)
        self.sharp = look["roughness"]

    def push(self, size: str) -> None:
        """Push a version."""
        self.person.must("project", "push", PROJECT, str(self.person.save(only_blur(NAME, size=size))))

    def update(self, *words: str) -> None:
        """Update through the command line client."""
        told = self.person.must("project", "deployment", "update", PROJECT, NAME, *words, answers="y\n").text
        assert "Will Update These Deployments (1)" in told

    def post(self, action: str) -> None:
        """Ask for what the command line client has no word for."""
        self.person.send("POST", f"{self.url}{action}/", {})

    def shown(self) -> dict[str, Any]:
        """The deployment as the API shows it."""
        found: dict[str, Any] = self.person.get(self.url)
        return found

    def settled(self, **wanted: str) -> None:
        """Wait until it is as wanted and what it had before is gone; the calls go on meanwhile."""

        def there() -> bool:
            shown = self.shown()
            assert shown["status"] != "ERROR", shown["reason"]
            return all(shown[name] == value for name, value in wanted.items()) and len(self.living()) == (shown["status"] == "RUNNING")

        wait_until(there, seconds=PATIENCE_S, what=f"{wanted}, one replica", pause=0.2)

    def living(self) -> list[dict[str, Any]]:
        """Replicas that are not gone."""
        return [replica for replica in self.person.get(self.url + "replicas/")["results"] if replica["status"] != "TERMINATED"]

    def revisions(self) -> list[tuple[Any, ...]]:
        """The history: kind, tag, size, state; the newest first."""
        return [(one["kind"], one["tag"], one["size"], one["state"]) for one in self.person.get(self.url + "revisions/")["results"]]

    def is_sharp(self, found: float) -> bool:
        """Tell the look of the first version."""
        return bool(abs(found - self.sharp) < 0.05 * self.sharp)

    def is_soft(self, found: float) -> bool:
        """Tell the look of the second version."""
        return bool(found < 0.7 * self.sharp)


@pytest.fixture(scope="module")
def busy(person: Person, picture: str) -> Busy:
    """A running deployment of the first version."""
    return Busy(person, picture)


@contextmanager
def calls(busy: Busy, folder: Path) -> Iterator[Caller]:
    """Call all the time; at the end no call has failed."""
    caller = Caller(busy.person, busy.endpoint, busy.picture, folder)
    try:
        yield caller
    finally:
        caller.close()
    assert caller.failures == []


def test_an_update_a_resize_a_restart_and_a_roll_back_under_load_fail_no_call(busy, tmp_path):
    with calls(busy, tmp_path) as caller:
        caller.wait_for(busy.is_sharp, what="sharp")
        busy.push(SOFT)
        busy.update()
        busy.settled(status="RUNNING", tag="v2", size="S")
        caller.wait_for(busy.is_soft, what="soft")
        busy.update("--size", "M")
        busy.settled(status="RUNNING", tag="v2", size="M")
        former = busy.living()
        busy.post("restart")
        wait_until(lambda: busy.revisions()[0][3] == "SERVED", seconds=PATIENCE_S, what="the restart", pause=0.2)
        busy.settled(status="RUNNING", size="M")
        assert {one["name"] for one in busy.living()}.isdisjoint({one["name"] for one in former})
        busy.person.send("POST", f"{busy.url}rollback/", {"tag": "v1"})
        busy.settled(status="RUNNING", tag="v1")
        caller.wait_for(busy.is_sharp, what="sharp again")
    assert busy.shown()["endpoint"] == busy.endpoint
    assert busy.revisions() == [
        ("ROLLBACK", "v1", "M", "SERVED"),
        ("RESTART", "v2", "M", "SERVED"),
        ("RESIZE", "v2", "M", "SERVED"),
        ("UPDATE", "v2", "S", "SERVED"),
        ("CREATE", "v1", "S", "SERVED"),
    ]
    assert [busy.is_soft(roughness(call)) for call in caller.calls].count(True) > ENOUGH


def test_a_paused_deployment_says_so_and_answers_again_at_the_same_address(busy):
    busy.post("pause")
    busy.settled(status="PAUSED")
    told = busy.person.ask("refused", endpoint=busy.endpoint, body={"inputs": [], "outputs": [], "parameters": []})
    assert told["status"] == 503
    assert "paused" in told["body"]["detail"]
    busy.post("resume")
    busy.settled(status="RUNNING")
    assert busy.shown()["endpoint"] == busy.endpoint
    assert busy.person.ask("run", endpoint=busy.endpoint, picture=busy.picture)
