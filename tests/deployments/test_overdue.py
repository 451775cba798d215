"""What waits too long is told to operators once, and taken back when it goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controlplane.accounts.models import User
from deployments.models import Alert, Deployment
from deployments.providers.base import NoCapacity, ProviderUnavailable
from deployments.reconcile.overdue import MANY_FAULTS, tell_overdue
from deployments.reconcile.sweep import sweep_providers
from deployments.services import configure_deployment
from tests.deployments.builders import deploy
from tests.deployments.conftest import Clock
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


@pytest.fixture
def running(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    return settle(deploy(owner))


def told() -> list[str]:
    return list(Alert.objects.filter(cleared_at=None).order_by("created_at").values_list("detail", flat=True))


def test_a_replica_that_is_waited_for_though_the_deployment_runs(
    running: Deployment, owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    cloud.refuse = NoCapacity("no second machine")
    configure_deployment(actor=owner, deployment_id=running.pk, min_replicas=2, max_replicas=2)
    settle(running)
    assert tell_overdue() == 0
    moving_clock.advance(1801)
    settle(running)

    assert [tell_overdue(), tell_overdue()] == [1, 1]

    assert told() == [f"{running.path} has waited for a replica for more than 30 minutes. no second machine"]
    cloud.refuse = None
    settle(running, longest=100.0)
    assert (tell_overdue(), told()) == (0, [])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"faults": MANY_FAULTS, "status": "PAUSED"}, "8 looks in a row ended in an error"),
        ({"status": "ERROR", "faults": MANY_FAULTS}, "the workers' log has it"),
    ],
)
def test_looks_that_end_in_an_error_again_and_again(running: Deployment, fields: dict[str, object], words: str) -> None:
    Deployment.objects.filter(pk=running.pk).update(**fields)

    assert tell_overdue() == 1

    assert words in told()[0]


def test_a_look_that_no_worker_takes(running: Deployment, moving_clock: Clock) -> None:
    Deployment.objects.filter(pk=running.pk).update(next_check_at=moving_clock.now)
    moving_clock.advance(1801)

    assert tell_overdue() == 1

    assert "no worker has looked at it" in told()[0]


def test_a_deployment_that_loses_its_replicas_again_and_again(
    running: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    for _ in range(4):
        assert tell_overdue() == 0
        moving_clock.advance(400)
        cloud.specs.clear()
        Deployment.objects.filter(pk=running.pk).update(next_check_at=moving_clock.now)
        settle(running)
        assert running.status == "RUNNING"

    assert tell_overdue() == 1

    assert told() == [f"{running.path} lost all its replicas 4 times within an hour."]


def test_a_provider_that_does_not_answer(
    running: Deployment, cloud: FakeProvider, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent() -> None:
        raise ProviderUnavailable("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "list_replicas", silent)
        sweep_providers()
        moving_clock.advance(299)
        sweep_providers()
        assert told() == []
        moving_clock.advance(2)
        sweep_providers()
        assert told() == ["local does not answer since 2026-03-02 09:00 UTC: no answer"]

    sweep_providers()

    assert told() == []
