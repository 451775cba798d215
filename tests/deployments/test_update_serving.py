"""What serves goes on serving while something else comes: replaced, woken and scaled as ever, and gone back to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controlplane.accounts.models import User
from controlplane.common.valkey import valkey
from deployments import wakeups
from deployments.bundles.build import build_for_waiting
from deployments.models import Bundle, Deployment, Replica, Revision
from deployments.providers.base import BadCredentials, Phase, ReplicaState
from deployments.reconcile import loop
from deployments.reconcile.demand import WAKE, follow_demand
from deployments.reconcile.fleet import PROVEN_ATTEMPTS, START_ATTEMPTS
from deployments.reconcile.loop import reconcile
from deployments.services import pause_deployment, resume_deployment, update_deployment
from deployments.states import ReplicaStatus, Status
from tests.deployments.builders import deploy, push
from tests.deployments.conftest import Clock
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


@pytest.fixture
def running(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    deployment: Deployment = settle(deploy(owner))
    return deployment


@pytest.fixture
def no_builder(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Builders that are busy with something else; the list has what they were asked for."""
    asked: list[object] = []
    monkeypatch.setattr(wakeups, "send_build", asked.append)
    return asked


def serving(deployment: Deployment) -> list[str]:
    return list(deployment.replicas.filter(status=ReplicaStatus.SERVING).order_by("name").values_list("name", flat=True))


def name(deployment: Deployment, revision: int, ordinal: int) -> str:
    return f"d{deployment.pk.hex}-r{revision}-{ordinal}"


def want_update(deployment: Deployment, owner: User) -> None:
    assert deployment.workflow is not None
    push(deployment.workflow)
    update_deployment(actor=owner, deployment_id=deployment.pk)


class TestWhileABuildWaits:
    def test_a_lost_replica_is_replaced_by_one_of_the_version_that_serves(
        self, running: Deployment, owner: User, cloud: FakeProvider, settle: Settle, no_builder: list[object]
    ) -> None:
        want_update(running, owner)
        settle(running, longest=1.0)
        del cloud.specs[name(running, 1, 1)]

        settle(running, longest=1.0)

        assert (running.status, serving(running), cloud.names()) == ("UPDATING", [name(running, 1, 2)], [name(running, 1, 2)])
        assert no_builder

    def test_a_sleeping_deployment_wakes_with_the_version_that_it_has(
        self,
        owner: User,
        cloud: FakeProvider,
        settle: Settle,
        moving_clock: Clock,
        no_builder: list[object],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        deployment = deploy(owner, flavour="SERVERLESS", size="S")
        with monkeypatch.context() as patch:
            patch.setattr(wakeups, "send_build", build_for_waiting)
            settle(deployment)
        moving_clock.advance(901)
        follow_demand()
        settle(deployment)
        assert (deployment.status, serving(deployment)) == ("RUNNING", [])
        want_update(deployment, owner)
        settle(deployment, longest=1.0)
        valkey().sadd(WAKE, str(deployment.pk))

        assert follow_demand() == 1
        settle(deployment, longest=1.0)

        assert (deployment.status, serving(deployment)) == ("UPDATING", [name(deployment, 1, 2)])

    def test_a_pause_and_a_deletion_take_effect_at_once(
        self, running: Deployment, owner: User, cloud: FakeProvider, settle: Settle, no_builder: list[object]
    ) -> None:
        want_update(running, owner)
        settle(running, longest=1.0)
        pause_deployment(actor=owner, deployment_id=running.pk)

        settle(running)

        assert (running.status, cloud.names()) == ("PAUSED", [])

    def test_builders_are_asked_again_when_the_first_hint_was_lost(
        self, owner: User, cloud: FakeProvider, no_builder: list[object], moving_clock: Clock
    ) -> None:
        deployment = deploy(owner)

        for _ in range(3):
            wait = reconcile(deployment.pk)
            moving_clock.advance(wait or 0.0)

        assert no_builder == [deployment.wanted_version_id] * 3
        assert not Bundle.objects.exists()


def test_a_version_that_fails_after_a_pause_leaves_the_former_one_serving(
    running: Deployment, owner: User, cloud: FakeProvider, settle: Settle
) -> None:
    assert running.workflow is not None
    push(running.workflow, {"hull/requirements.txt": "/no/such/path"})
    pause_deployment(actor=owner, deployment_id=running.pk)
    settle(running)
    resume_deployment(actor=owner, deployment_id=running.pk)
    update_deployment(actor=owner, deployment_id=running.pk)

    settle(running)

    assert (running.status, running.reason_code, running.revision) == ("RUNNING", "BAD_REQUIREMENT", 1)
    assert serving(running) == [name(running, 1, 2)]
    assert Revision.objects.get(deployment=running, number=2).state == "FAILED"


class TestWhatHasServed:
    def test_a_machine_that_fails_by_itself_is_tried_long_with_pauses(
        self, running: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ensure = cloud.ensure_replica
        began = moving_clock.now

        def broken(spec: Any) -> ReplicaState:
            state = ensure(spec)
            return ReplicaState(state.name, Phase.FAILED, detail="no space left on device", passing=True)

        with monkeypatch.context() as patch:
            patch.setattr(cloud, "ensure_replica", broken)
            del cloud.specs[name(running, 1, 1)]
            settle(running, longest=60.0)
            assert (running.status, running.reason_code) == ("SCALING", "START_FAILED")
            assert START_ATTEMPTS < Replica.objects.exclude(failure="").count() < PROVEN_ATTEMPTS
        assert (moving_clock.now - began).total_seconds() > 60

        settle(running, longest=200.0)

        assert (running.status, len(serving(running))) == ("RUNNING", 1)

    def test_it_ends_in_error_when_nothing_helps(
        self, running: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        began = moving_clock.now
        cloud.fail_with, cloud.passing = "no space left on device", True

        settle(running, longest=400.0)

        assert (running.status, running.reason_code, cloud.names()) == ("ERROR", "START_FAILED", [])
        assert 600 < (moving_clock.now - began).total_seconds() < 3600

    def test_credentials_that_ran_out_are_told_and_waited_for(self, running: Deployment, cloud: FakeProvider, settle: Settle) -> None:
        del cloud.specs[name(running, 1, 1)]
        settle(running, longest=0.0)
        cloud.refuse = BadCredentials("the key was revoked")

        settle(running)
        assert (running.status, running.reason_code) == ("SCALING", "BAD_CREDENTIALS")
        cloud.refuse = None
        settle(running, longest=100.0)

        assert (running.status, running.reason_code, len(serving(running))) == ("RUNNING", "", 1)


def test_waiting_is_no_fault_and_a_fault_counts_only_in_a_row(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = settle(deploy(owner))
    Deployment.objects.filter(pk=deployment.pk).update(failed_attempts=50)

    def broken(_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_steps", broken)
        for _ in range(loop.ATTEMPTS_BEFORE_ERROR + 2):
            with pytest.raises(RuntimeError):
                reconcile(deployment.pk)
    deployment.refresh_from_db()
    assert (deployment.status, deployment.faults) == (Status.RUNNING, loop.ATTEMPTS_BEFORE_ERROR + 2)

    settle(deployment)

    assert (deployment.status, deployment.faults) == (Status.RUNNING, 0)
