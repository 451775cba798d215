"""One to N replicas: as many as wanted, the lost ones replaced, the surplus drained; and what cannot be removed is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail

from controlplane.accounts.models import User
from deployments.alerts import mail_alerts
from deployments.models import Alert, Deployment, Replica
from deployments.providers.base import NoCapacity, ProviderUnavailable, StillWorking
from deployments.reconcile.loop import reconcile
from deployments.services import configure_deployment, delete_deployment, update_deployment
from deployments.states import Status
from tests.deployments.builders import deploy
from tests.deployments.conftest import Clock
from tests.deployments.test_reconcile import history, route
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


@pytest.fixture
def three(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    """A deployment that serves with three replicas."""
    deployment = deploy(owner)
    configure_deployment(actor=owner, deployment_id=deployment.pk, min_replicas=3, max_replicas=3)
    return settle(deployment)


def serving(deployment: Deployment) -> list[str]:
    found: dict[str, Any] | None = route(deployment)
    assert found is not None
    return [replica["id"] for replica in found["replicas"]]


def name(deployment: Deployment, revision: int, ordinal: int) -> str:
    return f"d{deployment.pk.hex}-r{revision}-{ordinal}"


def test_all_wanted_replicas_take_runs(three: Deployment, cloud: FakeProvider) -> None:
    assert three.status == Status.RUNNING
    assert serving(three) == cloud.names() == [name(three, 1, ordinal) for ordinal in (1, 2, 3)]


def test_the_first_replica_that_is_ready_serves_without_waiting_for_the_others(
    owner: User, cloud: FakeProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(owner)
    configure_deployment(actor=owner, deployment_id=deployment.pk, min_replicas=2, max_replicas=2)
    ensure = cloud.ensure_replica

    def only_one(spec: Any) -> Any:
        if spec.name.endswith("-2"):
            raise NoCapacity("no second machine")
        return ensure(spec)

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "ensure_replica", only_one)
        settle(deployment, longest=1.0)
        assert (deployment.status, deployment.reason_code, serving(deployment)) == ("RUNNING", "NO_CAPACITY", [name(deployment, 1, 1)])

    settle(deployment)

    assert (deployment.status, deployment.reason_code, len(serving(deployment))) == ("RUNNING", "", 2)


def test_a_lost_replica_is_replaced_while_the_others_serve(three: Deployment, cloud: FakeProvider, settle: Settle) -> None:
    del cloud.specs[name(three, 1, 2)]

    settle(three)

    assert serving(three) == [name(three, 1, ordinal) for ordinal in (1, 3, 4)]
    assert history(three)[-1] == "RUNNING"
    assert history(three).count("RUNNING") == 1


def test_machines_that_fail_by_themselves_are_replaced_three_times_and_then_told(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    cloud.fail_with, cloud.passing = "The machine did not start.", True

    deployment = settle(deploy(owner))

    assert (deployment.status, deployment.reason_code, deployment.reason_detail) == ("ERROR", "START_FAILED", "The machine did not start.")
    assert len(cloud.created) == 3
    assert cloud.names() == []


def test_fewer_replicas_drain_the_newest_first(three: Deployment, owner: User, cloud: FakeProvider, settle: Settle) -> None:
    configure_deployment(actor=owner, deployment_id=three.pk, min_replicas=1, max_replicas=1)
    reconcile(three.pk)

    assert serving(three) == [name(three, 1, 1)]
    assert set(Replica.objects.exclude(ordinal=1).values_list("status", flat=True)) == {"DRAINING"}
    assert cloud.deleted == []
    settle(three)
    assert cloud.names() == [name(three, 1, 1)]


def test_an_update_switches_when_all_new_replicas_are_ready(three: Deployment, owner: User, cloud: FakeProvider, settle: Settle) -> None:
    cloud.looks_until_ready = 3
    update_deployment(actor=owner, deployment_id=three.pk, size="L")
    reconcile(three.pk)
    assert serving(three) == [name(three, 1, ordinal) for ordinal in (1, 2, 3)]

    settle(three)

    assert serving(three) == cloud.names() == [name(three, 2, ordinal) for ordinal in (1, 2, 3)]


def test_what_has_served_waits_for_capacity_without_end(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    deployment = settle(deploy(owner))
    cloud.specs.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cloud, "ensure_replica", lambda spec: (_ for _ in ()).throw(NoCapacity("none left")))
        for _ in range(30):
            moving_clock.advance(reconcile(deployment.pk) or 0)
        deployment.refresh_from_db()
        assert (deployment.status, deployment.reason_code) == ("SCALING", "NO_CAPACITY")

    settle(deployment)

    assert (deployment.status, deployment.reason_code) == ("RUNNING", "")


class TestStuck:
    @pytest.fixture
    def unmovable(self, owner: User, cloud: FakeProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch) -> Deployment:
        deployment = settle(deploy(owner))

        def refuse(name: str) -> None:
            raise StillWorking(name)

        monkeypatch.setattr(cloud, "delete_replica", refuse)
        return deployment

    def test_what_its_provider_does_not_remove_is_told_to_operators_and_tried_again(
        self, unmovable: Deployment, owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        User.objects.create(username="operator", email="operator@example.com", is_staff=True)
        delete_deployment(actor=owner, deployment_id=unmovable.pk)
        settle(unmovable)
        moving_clock.advance(601)

        settle(unmovable)

        assert (unmovable.status, unmovable.reason_code) == ("STUCK", "RESOURCE_STUCK")
        alert = Alert.objects.get()
        assert (alert.kind, alert.subject) == ("STUCK_REPLICA", name(unmovable, 1, 1))
        assert (mail_alerts(), mail_alerts()) == (1, 0)
        assert alert.subject in mail.outbox[0].body

        monkeypatch.undo()
        moving_clock.advance(61)
        monkeypatch.setattr("controlplane.common.clock.now", lambda: moving_clock.now)
        cloud.specs.clear()
        settle_by_hand(unmovable, moving_clock)

        assert unmovable.status == Status.DELETED
        alert.refresh_from_db()
        assert alert.cleared_at is not None

    def test_an_old_replica_that_is_stuck_does_not_disturb_the_new_one(
        self, unmovable: Deployment, owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        update_deployment(actor=owner, deployment_id=unmovable.pk, size="L")
        settle(unmovable)
        moving_clock.advance(601)
        settle(unmovable)

        assert (unmovable.status, serving(unmovable)) == ("RUNNING", [name(unmovable, 2, 1)])
        assert Alert.objects.get().kind == "STUCK_REPLICA"


def settle_by_hand(deployment: Deployment, moving_clock: Clock) -> None:
    for _ in range(20):
        wait = reconcile(deployment.pk)
        if wait is None:
            break
        moving_clock.advance(wait)
    deployment.refresh_from_db()


def test_billed_times_are_those_of_the_provider(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    deployment = settle(deploy(owner))
    told = cloud.billed[name(deployment, 1, 1)]
    moving_clock.advance(100)
    delete_deployment(actor=owner, deployment_id=deployment.pk)
    settle(deployment)

    replica = Replica.objects.get()
    assert replica.billed_from == told
    assert replica.billed_until is not None
    assert replica.billed_until >= told


def test_what_the_provider_does_not_show_yet_is_not_taken_for_gone(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    cloud.visibility_delay = 60.0
    cloud.looks_until_ready = 10**9
    deployment = deploy(owner)
    settle(deployment, longest=1.0)
    [made] = cloud.names()
    hidden = cloud.specs.pop(made)
    delete_deployment(actor=owner, deployment_id=deployment.pk)
    settle(deployment, longest=1.0)
    assert deployment.status == "DELETING"
    cloud.specs[made] = hidden

    settle(deployment, longest=20.0)

    assert (deployment.status, cloud.deleted) == ("DELETED", [made])


def test_a_provider_that_does_not_answer_for_long_loses_nothing(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    deployment = settle(deploy(owner))
    cloud.refuse = ProviderUnavailable("no answer")
    moving_clock.advance(24 * 3600)

    reconcile(deployment.pk)

    assert serving(deployment) == [name(deployment, 1, 1)]
