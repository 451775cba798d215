"""What webhooks hear of deployments and of runs, and that receivers slow neither."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError

from controlplane.accounts.models import User
from controlplane.projects.models import Project
from controlplane.webhooks.models import Delivery, Webhook
from controlplane.webhooks.sender import Sender
from controlplane.webhooks.services import create_webhook
from deployments import usage
from deployments.models import Deployment, UsageEvent
from deployments.services import delete_deployment
from tests.deployments.builders import deploy, make_workflow
from tests.deployments.consuming import consume_usage
from tests.deployments.test_usage import report
from tests.fakes.provider import FakeProvider
from tests.webhooks.receiver import Receiver, answers, hangs

Settle = Callable[..., Deployment]
ALL = ["deployment.created", "deployment.status_changed", "deployment.running", "deployment.error", "deployment.deleted"]
RUNS = ["run.succeeded", "run.failed"]


@pytest.fixture(autouse=True)
def no_hints(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Keep hints out of the broker, and let receivers be on this machine."""
    monkeypatch.setattr("controlplane.webhooks.outbox.send_task", lambda *_, **__: None)
    settings.WEBHOOK_LOOPBACK = True


def listen(owner: User, project: Project, events: list[str], url: str = "https://hooks.example.com/") -> Webhook:
    return create_webhook(actor=owner, project_id=project.pk, target_url=url, events=events)[0]


def told() -> list[str]:
    """The events in the outbox, statuses with where they lead."""
    rows = Delivery.objects.order_by("sequence").values_list("type", "data")
    return [f"{name} {data['after']}" if name == "deployment.status_changed" else name for name, data in rows]


def test_a_deployment_tells_its_whole_life(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    workflow = make_workflow(owner)
    listen(owner, workflow.project, ALL)

    deployment = settle(deploy(owner, workflow))
    assert told() == [
        "deployment.created",
        "deployment.status_changed BUILDING",
        "deployment.status_changed SCALING",
        "deployment.status_changed RUNNING",
        "deployment.running",
    ]
    data = Delivery.objects.get(type="deployment.running").data
    assert (data["deployment"], data["endpoint"]) == (str(deployment.pk), deployment.endpoint)
    assert [data[name] for name in ("size", "tag", "workflow", "before", "reason")] == ["M", "v1", deployment.path, "SCALING", None]
    Delivery.objects.all().delete()
    delete_deployment(actor=owner, deployment_id=deployment.pk)
    settle(deployment)

    assert told() == ["deployment.status_changed DELETING", "deployment.status_changed DELETED", "deployment.deleted"]


def test_a_failure_tells_the_reason_and_what_to_do(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    workflow = make_workflow(owner, {"hull/requirements.txt": "-r elsewhere.txt"})
    listen(owner, workflow.project, ["deployment.error"])

    deployment = settle(deploy(owner, workflow))

    (delivery,) = Delivery.objects.all()
    assert deployment.status == "ERROR"
    assert delivery.subject == str(deployment.pk)
    assert delivery.data["reason"]["code"] == deployment.reason_code
    assert all(delivery.data["reason"].values())


@pytest.fixture
def running(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    return settle(deploy(owner))


def project_of(deployment: Deployment) -> Project:
    assert deployment.workflow is not None
    return deployment.workflow.project


def test_runs_are_told_when_their_usage_is_written(owner: User, running: Deployment) -> None:
    listen(owner, project_of(running), RUNS)
    good, bad = report(running), report(running, state="FAILURE", duration_ms=1204)

    consume_usage()

    rows = {row.subject: row for row in Delivery.objects.all()}
    assert {subject: row.type for subject, row in rows.items()} == {good["run"]: "run.succeeded", bad["run"]: "run.failed"}
    data = rows[bad["run"]].data
    assert (data["run"], data["deployment"], data["state"], data["duration_ms"]) == (bad["run"], str(running.pk), "FAILURE", 1204)


def test_a_run_that_is_reported_again_is_told_once(owner: User, running: Deployment) -> None:
    listen(owner, project_of(running), RUNS)
    fields = report(running)
    report(running, run=fields["run"])
    consume_usage()
    report(running, run=fields["run"])
    consume_usage()

    assert Delivery.objects.count() == 1


def test_a_run_whose_usage_was_not_written_is_not_told(owner: User, running: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    listen(owner, project_of(running), RUNS)
    report(running)

    def fail(_: object) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    with monkeypatch.context() as outage:
        outage.setattr(usage, "announce_runs", fail)
        with pytest.raises(OperationalError):
            consume_usage()

    assert (UsageEvent.objects.count(), Delivery.objects.count()) == (0, 0)
    consume_usage()
    assert (UsageEvent.objects.count(), Delivery.objects.count()) == (1, 1)


@pytest.fixture
def down() -> Iterator[Receiver]:
    """A receiver that never answers."""
    made = Receiver()
    made.reply = hangs
    yield made
    made.close()


def test_a_receiver_that_is_down_slows_no_usage(owner: User, running: Deployment, down: Receiver) -> None:
    """While a delivery waits for its answer, usage is written; nothing of the one waits for the other."""
    listen(owner, project_of(running), RUNS, down.url)
    report(running)
    consume_usage()
    sender = Sender()
    sender.fill()
    down.await_requests(1)
    for _ in range(20):
        report(running)

    assert consume_usage() == 20

    assert (UsageEvent.objects.count(), len(down.received)) == (21, 1)
    down.reply = answers(200)
    down.released.set()
    sender.stop()
    assert sender.await_idle(20)
