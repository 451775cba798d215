"""What is reserved for a start goes to its instances, or comes back: nothing of it stays behind."""

from __future__ import annotations

import pytest

from billing.funding import review_times
from billing.grants import take_back
from billing.metering import meter
from billing.models import Grant
from controlplane.accounts.models import User
from controlplane.common.errors import PaymentRequired
from deployments import paying
from deployments.clockwork import run_schedules
from deployments.funding import follow_funding
from deployments.models import Replica, Schedule, ScheduleAction
from deployments.paying import settle_missing
from deployments.reconcile.loop import reconcile
from deployments.services import (
    configure_deployment,
    delete_deployment,
    pause_deployment,
    resume_deployment,
    roll_back_deployment,
    update_deployment,
)
from deployments.states import Status
from tests.deployments.builders import deploy, make_workflow, push
from tests.deployments.conftest import Clock
from tests.deployments.paying import HELD, RATE, Settle, charged, fund, pass_time, standing
from tests.deployments.test_reconcile_crashes import Killed
from tests.fakes.provider import FakeProvider

pytestmark = pytest.mark.usefixtures("paying")


def test_a_pause_that_is_taken_back_at_once_reserves_nothing_more(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    fund(owner, 1000)
    deployment = settle(deploy(owner))
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    resume_deployment(actor=owner, deployment_id=deployment.pk)

    deployment = settle(deployment)

    assert (deployment.status, len(cloud.names())) == (Status.RUNNING, 1)
    assert standing(deployment)[1] == HELD


def test_a_resume_that_is_taken_back_before_it_begins_frees_what_it_reserved(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    fund(owner, 3600)
    deployment = settle(deploy(owner))
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)
    assert (deployment.status, standing(deployment)[1]) == (Status.PAUSED, 0)

    resume_deployment(actor=owner, deployment_id=deployment.pk)
    pause_deployment(actor=owner, deployment_id=deployment.pk)

    deployment = settle(deployment)
    assert (deployment.status, standing(deployment)[1]) == (Status.PAUSED, 0)


def test_a_resume_that_reserved_the_last_credits_and_waited_too_long_begins_all_the_same(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 1800)
    deployment = settle(deploy(owner))
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)
    [grant] = Grant.objects.all()
    take_back(grant_id=grant.pk, amount=standing(deployment)[0] - HELD, key="slip", reason="too much")
    resume_deployment(actor=owner, deployment_id=deployment.pk)
    assert standing(deployment) == (HELD, HELD)

    moving_clock.advance(16 * 60)
    review_times()
    follow_funding()
    deployment = settle(deployment)
    assert (deployment.status, deployment.stop_code, standing(deployment)) == (Status.PAUSED, "NO_CREDITS", (HELD, 0))

    follow_funding()
    deployment = settle(deployment)
    assert (deployment.status, deployment.stop_code, standing(deployment)) == (Status.RUNNING, "", (HELD, HELD))


def test_a_resume_after_credits_came_in_keeps_what_it_reserved_though_nobody_has_followed_them_yet(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 1000)
    deployment = settle(deploy(owner))
    deployment = pass_time(moving_clock, settle, deployment, 1080)
    assert (deployment.status, deployment.stop_code) == (Status.SUSPENDED, "NO_CREDITS")
    fund(owner, 901)
    resume_deployment(actor=owner, deployment_id=deployment.pk)

    deployment = settle(deployment)
    assert (deployment.status, deployment.stop_code, standing(deployment)[1]) == (Status.SUSPENDED, "NO_CREDITS", HELD)

    follow_funding()
    deployment = settle(deployment)
    assert (deployment.status, standing(deployment)[1]) == (Status.RUNNING, HELD)


def test_what_a_start_reserved_for_more_instances_than_it_had_is_free_once_it_serves(
    owner: User, cloud: FakeProvider, settle: Settle
) -> None:
    fund(owner, 9000)
    deployment = settle(deploy(owner))
    configure_deployment(actor=owner, deployment_id=deployment.pk, min_replicas=3, max_replicas=3)
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)
    resume_deployment(actor=owner, deployment_id=deployment.pk)
    assert standing(deployment)[1] == 3 * HELD
    configure_deployment(actor=owner, deployment_id=deployment.pk, min_replicas=1, max_replicas=1)

    deployment = settle(deployment)

    assert (deployment.status, len(cloud.names())) == (Status.RUNNING, 1)
    assert standing(deployment)[1] == HELD


@pytest.mark.parametrize(("size", "rate"), [("XS", 4770), ("XL", 59_080)])
def test_another_size_before_the_start_reserves_for_that_size_alone(
    owner: User, cloud: FakeProvider, settle: Settle, size: str, rate: int
) -> None:
    fund(owner, 950, rate=max(rate, RATE))
    deployment = deploy(owner)
    update_deployment(actor=owner, deployment_id=deployment.pk, size=size)

    deployment = settle(deployment)

    assert (deployment.status, deployment.size) == (Status.RUNNING, size)
    assert standing(deployment)[1] == rate * 900


def test_a_start_that_is_deleted_frees_its_credits_though_something_is_stuck(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    fund(owner, 3600)
    deployment = settle(deploy(owner))
    cloud.looks_until_gone = 10_000
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    reconcile(deployment.pk)
    resume_deployment(actor=owner, deployment_id=deployment.pk)
    assert standing(deployment)[1] == 2 * HELD
    delete_deployment(actor=owner, deployment_id=deployment.pk)

    reconcile(deployment.pk)

    deployment.refresh_from_db()
    assert (deployment.status, standing(deployment)[1]) == (Status.DELETING, HELD)


def test_a_schedule_that_takes_a_resume_back_frees_what_it_reserved(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 3600)
    deployment = settle(deploy(owner))
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)
    Schedule.objects.create(
        deployment=deployment, cron="0 19 * * *", time_zone="UTC", action=ScheduleAction.PAUSE, next_at=moving_clock.now
    )
    resume_deployment(actor=owner, deployment_id=deployment.pk)

    run_schedules()

    deployment = settle(deployment)
    assert (deployment.status, deployment.desired_state, standing(deployment)[1]) == (Status.PAUSED, "PAUSED", 0)


def test_one_instance_that_starts_goes_on_where_credits_do_not_do_for_another(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    fund(owner, 1000)
    cloud.looks_until_ready = 4
    deployment = deploy(owner)
    configure_deployment(actor=owner, deployment_id=deployment.pk, min_replicas=2, max_replicas=2)

    deployment = settle(deployment)

    assert (deployment.status, len(cloud.names())) == (Status.RUNNING, 1)
    assert standing(deployment)[1] == HELD


def test_an_update_goes_on_with_the_replicas_that_credits_do_for(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    fund(owner, 2800)
    workflow = make_workflow(owner)
    deployment = deploy(owner, workflow=workflow)
    configure_deployment(actor=owner, deployment_id=deployment.pk, min_replicas=2, max_replicas=2)
    deployment = settle(deployment)
    cloud.looks_until_ready = 4
    push(workflow)
    update_deployment(actor=owner, deployment_id=deployment.pk)

    deployment = settle(deployment, longest=60)

    assert (deployment.status, deployment.served_revision, len(cloud.names())) == (Status.RUNNING, 2, 2)
    assert standing(deployment)[1] == 2 * HELD


def test_a_start_that_gets_stuck_reserves_nothing_more(owner: User, cloud: FakeProvider, moving_clock: Clock) -> None:
    fund(owner, 3600)
    cloud.looks_until_ready = cloud.looks_until_gone = 10_000
    deployment = deploy(owner)
    while not cloud.names():
        reconcile(deployment.pk)
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    for _ in range(60):
        reconcile(deployment.pk)
        moving_clock.advance(15)

    assert Replica.objects.get().stuck_since is not None
    assert standing(deployment)[1] == charged(deployment) == 0


def test_going_back_needs_credits_for_both_versions_unless_the_former_one_still_serves(
    owner: User, cloud: FakeProvider, settle: Settle
) -> None:
    fund(owner, 1900)
    workflow = make_workflow(owner)
    deployment = settle(deploy(owner, workflow=workflow))
    push(workflow)
    cloud.looks_until_ready = 10_000
    update_deployment(actor=owner, deployment_id=deployment.pk)
    while len(cloud.names()) < 2:
        reconcile(deployment.pk)
    roll_back_deployment(actor=owner, deployment_id=deployment.pk, tag="v1")
    cloud.looks_until_ready = 1
    deployment = settle(deployment)
    assert (deployment.status, deployment.revision, standing(deployment)[1]) == (Status.RUNNING, 1, HELD)

    update_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)
    before = deployment.revision
    take_back(grant_id=Grant.objects.get().pk, amount=500 * RATE, key="some", reason="test")
    with pytest.raises(PaymentRequired, match="are missing"):
        roll_back_deployment(actor=owner, deployment_id=deployment.pk, tag="v1")

    assert settle(deployment).revision == before


def test_a_worker_that_dies_when_a_start_is_gone_keeps_nothing_reserved(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fund(owner, 3600)
    cloud.looks_until_ready = 10_000
    deployment = deploy(owner)
    while not cloud.names():
        reconcile(deployment.pk)
    pause_deployment(actor=owner, deployment_id=deployment.pk)

    def die(_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(paying, "settle_account", die)
        with pytest.raises(Killed):
            settle(deployment)
    moving_clock.advance(60)
    meter()

    assert (settle_missing(), settle_missing()) == (1, 0)

    deployment = settle(deployment)
    assert (deployment.status, cloud.names()) == (Status.PAUSED, [])
    assert standing(deployment)[1] == charged(deployment) == 0
