"""A new version is tried with a run before it gets the traffic."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from controlplane.accounts.models import User
from deployments.alerts import raise_alert
from deployments.models import AlertKind, Deployment, Revision
from deployments.reconcile.smoke import plain_picture, smoke_body
from deployments.services import update_deployment
from tests.deployments.builders import deploy, workflow_json
from tests.deployments.test_reconcile import route
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]
CRASH = {"state": "FAILURE", "error": {"code": "engine_crashed", "detail": "SIGSEGV in blur"}}


class Runtimes(socketserver.ThreadingUnixStreamServer):
    """A runtime on a unix socket that answers each run with `answer`."""

    daemon_threads = True

    def __init__(self, path: Path, answer: dict[str, object]) -> None:
        self.bodies: list[bytes] = []
        self.answer = answer
        super().__init__(str(path), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    """One run."""

    server: Runtimes

    def do_PUT(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        text = json.dumps(self.server.answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def sockets(tmp_path: Path, cloud: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let replicas live on sockets of a short folder: `1.sock` for the first revision, `2.sock` for the second."""
    state = cloud.state

    def placed(name: str) -> object:
        return replace(state(name), address=f"unix:{tmp_path}/{name.split('-r')[1][0]}.sock")

    monkeypatch.setattr(cloud, "state", placed)
    return tmp_path


@pytest.fixture
def runtimes(sockets: Path) -> Iterator[Callable[[int, dict[str, object]], Runtimes]]:
    """Return `runtimes(revision, answer)`, which serves a revision's runs."""
    made: list[Runtimes] = []

    def serve(revision: int, answer: dict[str, object]) -> Runtimes:
        made.append(Runtimes(sockets / f"{revision}.sock", answer))
        return made[-1]

    yield serve
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.fixture
def resized(owner: User, runtimes: Callable[..., Runtimes], settle: Settle) -> Callable[..., Deployment]:
    """Return `resized(old, new)`: an update where the serving revision and the new one answer so."""

    def made(old: dict[str, object], new: dict[str, object]) -> Deployment:
        runtimes(1, old)
        runtimes(2, new)
        deployment = settle(deploy(owner))
        update_deployment(actor=owner, deployment_id=deployment.pk, size="L")
        return settle(deployment)

    return made


def served(deployment: Deployment) -> int:
    found = route(deployment)
    assert found is not None
    return int(found["replicas"][0]["revision"])


def test_a_version_that_crashes_on_a_plain_picture_gets_no_traffic(resized: Callable[..., Deployment], cloud: FakeProvider) -> None:
    deployment = resized({"state": "SUCCESS"}, CRASH)

    assert (deployment.status, deployment.reason_code, served(deployment), deployment.size) == ("RUNNING", "SMOKE_RUN_FAILED", 1, "M")
    assert "SIGSEGV in blur" in deployment.reason_detail
    assert cloud.names() == [f"d{deployment.pk.hex}-r1-1"]
    assert Revision.objects.get(number=2).state == "FAILED"


def test_what_neither_version_stands_decides_nothing(resized: Callable[..., Deployment]) -> None:
    assert served(resized(CRASH, CRASH)) == 2


def test_a_version_is_not_refused_because_the_serving_one_says_nothing(resized: Callable[..., Deployment]) -> None:
    assert served(resized({"state": "QUEUE_FULL"}, CRASH)) == 2


def test_a_version_that_stands_it_takes_over(resized: Callable[..., Deployment]) -> None:
    assert served(resized({"state": "SUCCESS"}, {"state": "SUCCESS"})) == 2


def test_the_run_has_a_picture_for_each_input_and_asks_for_no_output(
    owner: User, runtimes: Callable[..., Runtimes], settle: Settle
) -> None:
    server = runtimes(2, {"state": "SUCCESS"})
    deployment = settle(deploy(owner))
    update_deployment(actor=owner, deployment_id=deployment.pk, size="L")
    settle(deployment)

    body = json.loads(server.bodies[0])
    assert ([list(item) for item in body["inputs"]], body["outputs"]) == ([["image"]], [])


def test_a_workflow_without_pictures_is_not_tried() -> None:
    assert smoke_body({**workflow_json(), "connections": []}) is None
    assert smoke_body({}) is None


def test_the_picture_is_one(tmp_path: Path) -> None:
    picture = plain_picture()

    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(picture) < 20_000


def test_operators_list_and_clear_alerts(owner: User) -> None:
    alert = raise_alert(AlertKind.ORPHAN, "d1", detail="local has d1, which no deployment needs.")

    def listed(*words: str) -> str:
        out = StringIO()
        call_command("alerts", *words, stdout=out)
        return out.getvalue()

    assert "which no deployment needs" in listed()
    assert "No alerts." in listed("--clear", str(alert.pk))
    assert "cleared" in listed("--all")
    with pytest.raises(CommandError, match="no open alert"):
        listed("--clear", "7")
