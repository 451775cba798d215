"""Workers that die, are late, or meet faults: the end is the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connections

from controlplane.accounts.models import User
from deployments import checkpoints
from deployments.errors import ForbiddenSwitch, StaleLease
from deployments.leases import LEASE, claim, guarded, release, renew
from deployments.models import Deployment, LogLine, Replica, StatusChange
from deployments.reconcile import fleet, replicas, steps
from deployments.reconcile.loop import ATTEMPTS_BEFORE_ERROR, reconcile, take_due
from deployments.selectors import route_for_slug
from deployments.services import delete_deployment, update_deployment
from deployments.states import ALLOWED, Status
from deployments.transitions import switch_status
from tests.deployments.builders import deploy
from tests.deployments.conftest import Clock
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


class Killed(BaseException):
    """Stands for `kill -9`: nothing catches it, so nothing is cleaned up."""


def die_at(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    """Die the first time that a checkpoint is passed; returns the list that then holds its name."""
    died: list[str] = []

    def reached(passed: str) -> None:
        if passed == name and not died:
            died.append(passed)
            raise Killed(passed)

    monkeypatch.setattr(checkpoints, "hook", reached)
    return died


# The other boundaries lie on ways that this test does not take; tests/chaos takes all.
COMMON = [
    "claimed",
    "bundle_stored",
    "bundle_recorded",
    "replica_recorded",
    "replica_ensured",
    "route_switched",
    "replica_deleted",
    "replica_confirmed_gone",
    "deleted",
]


@pytest.mark.parametrize("name", COMMON)
def test_a_worker_that_is_killed_at_any_boundary_changes_nothing_about_the_end(
    owner: User, cloud: FakeProvider, moving_clock: Clock, settle: Settle, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    died = die_at(monkeypatch, name)
    deployment = deploy(owner)

    def settle_through_death() -> None:
        try:
            settle(deployment)
        except Killed:
            # Builders hold no deployment; where one is killed, only its build waits for the end of its turn.
            assert name.startswith("bundle_") or reconcile(deployment.pk) is None
            moving_clock.advance(LEASE.total_seconds() + 1)
            settle(deployment)

    settle_through_death()
    assert deployment.status == Status.RUNNING
    assert [replica.name for replica in Replica.objects.all()] == cloud.created
    update_deployment(actor=owner, deployment_id=deployment.pk, size="L")
    settle_through_death()
    assert (deployment.status, cloud.names()) == ("RUNNING", [f"d{deployment.pk.hex}-r2-1"])
    delete_deployment(actor=owner, deployment_id=deployment.pk)
    settle_through_death()

    assert died == [name]
    assert (deployment.status, cloud.names(), route_for_slug(deployment.slug)) == ("DELETED", [], None)
    assert cloud.created == [f"d{deployment.pk.hex}-r1-1", f"d{deployment.pk.hex}-r2-1"]
    after = list(StatusChange.objects.order_by("created_at", "pk").values_list("after", flat=True))
    assert after == ["QUEUED", "BUILDING", "SCALING", "RUNNING", "UPDATING", "RUNNING", "DELETING", "DELETED"]
    assert LogLine.objects.filter(message__startswith="Building harbour v1").count() == 1


def test_only_one_worker_works_on_a_deployment(owner: User, cloud: FakeProvider, moving_clock: Clock) -> None:
    deployment = deploy(owner)
    lease = claim(deployment.pk)
    assert lease is not None

    assert claim(deployment.pk) is None
    moving_clock.advance(LEASE.total_seconds() + 1)
    later = claim(deployment.pk)

    assert later is not None
    assert later.token != lease.token


def test_a_row_that_another_transaction_holds_is_left_alone(owner: User, cloud: FakeProvider) -> None:
    deployment = deploy(owner)
    other = connections.create_connection("default")
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM deployments_deployment WHERE id = %s FOR UPDATE", [deployment.pk])
        assert claim(deployment.pk) is None
    finally:
        other.rollback()
        other.close()
    assert claim(deployment.pk) is not None


def test_what_a_late_worker_found_out_is_discarded(owner: User, cloud: FakeProvider, moving_clock: Clock, settle: Settle) -> None:
    deployment = deploy(owner)
    late = claim(deployment.pk)
    assert late is not None
    moving_clock.advance(LEASE.total_seconds() + 1)
    settle(deployment)

    with pytest.raises(StaleLease):
        switch_status(late, Status.BUILDING)
    with pytest.raises(StaleLease), guarded(late):
        pass
    with pytest.raises(StaleLease):
        renew(late)
    release(late, wait=None)

    deployment.refresh_from_db()
    assert (deployment.status, deployment.next_check_at is not None) == ("RUNNING", True)


def test_a_worker_that_slept_through_its_lease_discards_even_if_nobody_took_over(
    owner: User, cloud: FakeProvider, moving_clock: Clock
) -> None:
    deployment = deploy(owner)
    lease = claim(deployment.pk)
    assert lease is not None
    moving_clock.advance(LEASE.total_seconds() + 1)

    with pytest.raises(StaleLease):
        switch_status(lease, Status.BUILDING)

    assert not StatusChange.objects.filter(after=Status.BUILDING).exists()


def test_a_lease_that_is_lost_in_the_middle_of_a_provider_call_leaves_no_trace(
    owner: User, cloud: FakeProvider, moving_clock: Clock, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(owner)
    cloud.looks_until_ready = 0
    ensure = replicas.ensure

    def slow(replica: Replica) -> object:
        state = ensure(replica)
        moving_clock.advance(LEASE.total_seconds() + 1)
        return state

    monkeypatch.setattr(fleet, "ensure", slow)
    settle(deployment)
    deployment.refresh_from_db()
    assert (deployment.status, Replica.objects.get().status) == ("SCALING", "STARTING")
    monkeypatch.setattr(fleet, "ensure", ensure)

    settle(deployment)

    assert (deployment.status, cloud.created) == ("RUNNING", [f"d{deployment.pk.hex}-r1-1"])


def test_a_step_that_the_table_does_not_have_is_refused(owner: User, cloud: FakeProvider) -> None:
    lease = claim(deploy(owner).pk)
    assert lease is not None

    for status in set(Status) - ALLOWED[Status.QUEUED]:
        with pytest.raises(ForbiddenSwitch):
            switch_status(lease, status)

    assert StatusChange.objects.count() == 1


def test_a_fault_is_tried_again_with_growing_pauses_and_then_told(
    owner: User, cloud: FakeProvider, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(owner)
    monkeypatch.setitem(steps.STEPS, Status.BUILDING, lambda lease: 1 // 0)
    pauses = []

    for _ in range(ATTEMPTS_BEFORE_ERROR):
        with pytest.raises(ZeroDivisionError):
            reconcile(deployment.pk)
        deployment.refresh_from_db()
        assert deployment.next_check_at is not None
        pauses.append((deployment.next_check_at - moving_clock.now).total_seconds())

    assert all(0.75 * full <= pause <= full for pause, full in zip(pauses[:7], [2, 4, 8, 16, 32, 60, 60], strict=True))
    assert (deployment.status, deployment.reason_code, deployment.lease_token) == ("ERROR", "INTERNAL_ERROR", None)


def test_what_is_due_is_handed_out_once_and_again_if_it_gets_lost(owner: User, cloud: FakeProvider, moving_clock: Clock) -> None:
    deployment = deploy(owner)
    Deployment.objects.update(next_check_at=moving_clock.now)

    assert take_due() == [deployment.pk]
    assert take_due() == []
    moving_clock.advance(11)
    assert take_due() == [deployment.pk]


def test_an_intent_that_changes_during_the_work_is_due_at_once(owner: User, cloud: FakeProvider, moving_clock: Clock) -> None:
    deployment = deploy(owner)
    lease = claim(deployment.pk)
    assert lease is not None
    update_deployment(actor=owner, deployment_id=deployment.pk, size="L")

    assert release(lease, wait=10.0) == 0.0

    deployment.refresh_from_db()
    assert deployment.next_check_at == moving_clock.now


def test_replaying_the_provider_calls_of_a_step_makes_nothing_twice(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    replica = Replica.objects.get()

    assert replicas.ensure(replica) == replicas.ensure(replica)

    assert cloud.created == [replica.name]
    assert deployment.status == Status.RUNNING
