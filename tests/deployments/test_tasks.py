"""Tasks and the schedule: thin, and safe to lose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from controlplane.accounts.models import User
from controlplane.celery import app
from controlplane.embedded.applications import builder_words
from deployments import tasks
from deployments.models import Deployment
from deployments.schedule import BEAT_SCHEDULE
from tests.deployments.builders import deploy
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


def test_everything_that_beat_starts_is_a_task_and_expires_before_it_piles_up() -> None:
    app.loader.import_default_modules()

    for entry in BEAT_SCHEDULE.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] <= max(3, entry["schedule"])


def test_builds_have_a_queue_of_their_own() -> None:
    app.loader.import_default_modules()
    queues = {name: app.amqp.router.route({}, name)["queue"].name for name in app.tasks if not name.startswith("celery.")}

    assert {name for name, queue in queues.items() if queue != app.conf.task_default_queue} == {"deployments.build"}
    assert queues["deployments.build"] == builder_words(concurrency="1")[-1]


def test_a_deployment_on_its_way_is_looked_at_again_soon(owner: User, cloud: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.looks_until_ready = 10
    sent: list[tuple[object, float]] = []
    monkeypatch.setattr(tasks, "send_wakeup", lambda pk, delay=0.0: sent.append((pk, delay)))
    deployment = deploy(owner)
    tasks.build_task(str(deployment.wanted_version_id))

    tasks.reconcile_task(str(deployment.pk))

    assert [pk for pk, _ in sent] == [deployment.pk]
    assert 0 < sent[0][1] < 1


def test_a_deployment_at_rest_is_left_to_beat(owner: User, cloud: FakeProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = settle(deploy(owner))
    sent: list[object] = []
    monkeypatch.setattr(tasks, "send_wakeup", lambda pk, delay=0.0: sent.append(pk))

    tasks.reconcile_task(str(deployment.pk))

    assert sent == []


def test_beat_alone_brings_a_deployment_to_running(owner: User, cloud: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.looks_until_ready = 0
    deployment = deploy(owner)

    def take_hint(pk: object, *, delay: float = 0.0, handed_out: datetime | None = None) -> None:
        if handed_out is not None:
            tasks.reconcile_task(str(pk), handed_out.isoformat())

    monkeypatch.setattr(tasks, "send_wakeup", take_hint)
    for _ in range(2):
        tasks.reconcile_due_task()

    deployment.refresh_from_db()
    assert deployment.status == "RUNNING"
