"""The sweep in both directions, the demand, and the watch over new versions."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from controlplane.accounts.models import User
from controlplane.common.clock import milliseconds
from controlplane.common.errors import Conflict
from controlplane.common.valkey import valkey
from deployments.models import Alert, Deployment, Replica, Revision, UsageEvent
from deployments.providers.base import BadCredentials, ReplicaSpec
from deployments.reconcile.demand import ACTIVE, WAKE, follow_demand, load_key
from deployments.reconcile.overdue import tell_overdue
from deployments.reconcile.sweep import sweep_providers
from deployments.reconcile.watch import watch_new_revisions
from deployments.routing import repair_routes, route_key
from deployments.services import configure_deployment, restart_deployment, roll_back_deployment, update_deployment
from deployments.states import Status
from tests.deployments.builders import deploy, push
from tests.deployments.conftest import Clock
from tests.deployments.test_reconcile import route
from tests.deployments.test_replicas import serving
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


@pytest.fixture
def running(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    return settle(deploy(owner))


@pytest.fixture
def sleepy(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    """A serverless deployment that sleeps after 15 minutes and may have three replicas."""
    deployment = deploy(owner, flavour="SERVERLESS", size="S")
    configure_deployment(actor=owner, deployment_id=deployment.pk, max_replicas=3)
    return settle(deployment)


class TestSweep:
    def test_what_is_as_recorded_is_not_looked_at(self, running: Deployment, no_wakeups: list[object]) -> None:
        no_wakeups.clear()

        assert (sweep_providers().differing, no_wakeups) == (0, [])

    def test_a_replica_that_is_gone_is_noticed(self, running: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
        cloud.specs.clear()

        assert sweep_providers().differing == 1
        running.refresh_from_db()
        assert running.next_check_at == moving_clock.now
        assert settle(running).status == Status.RUNNING
        assert len(cloud.names()) == 1

    def test_a_list_that_lags_loses_nothing(self, running: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
        cloud.visibility_delay = 60.0
        hidden = dict(cloud.specs)
        cloud.specs.clear()
        settle(running)
        moving_clock.advance(30)
        settle(running)
        assert Replica.objects.get().missing_since is not None
        cloud.specs.update(hidden)

        settle(running)

        assert Replica.objects.get().missing_since is None
        assert serving(running) == cloud.names()

    def test_what_no_deployment_needs_is_told_at_once_and_removed_after_a_while(
        self, running: Deployment, cloud: FakeProvider, moving_clock: Clock
    ) -> None:
        stray = f"d{uuid4().hex}-r1-1"
        cloud.ensure_replica(ReplicaSpec(stray, "0" * 64, 1, 1024, "x", 1, "FRANCE"))

        assert sweep_providers().orphans == 1
        assert Alert.objects.get().subject == stray
        assert stray in cloud.names()
        moving_clock.advance(599)
        sweep_providers()
        assert cloud.leaving == {}
        moving_clock.advance(2)
        for _ in range(4):
            sweep_providers()

        assert cloud.names() == serving(running)
        assert Alert.objects.get().cleared_at is not None

    def test_what_carries_another_name_is_not_touched(self, cloud: FakeProvider, owner: User, moving_clock: Clock) -> None:
        cloud.ensure_replica(ReplicaSpec("somebody-elses", "0" * 64, 1, 1024, "x", 1, "FRANCE"))

        for _ in range(3):
            sweep_providers()
            moving_clock.advance(700)

        assert (cloud.names(), Alert.objects.count()) == (["somebody-elses"], 0)

    def test_a_route_that_was_not_published_is_published_again(
        self, running: Deployment, owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        former = valkey().get(route_key(running.slug))
        moving_clock.advance(1)
        update_deployment(actor=owner, deployment_id=running.pk, size="L")
        settle(running)
        published = valkey().get(route_key(running.slug))
        assert repair_routes() == 0
        assert former is not None
        valkey().set(route_key(running.slug), former)

        assert repair_routes() == 1

        assert valkey().get(route_key(running.slug)) == published

    def test_a_route_of_a_clock_that_was_ahead_is_replaced(self, running: Deployment, cloud: FakeProvider) -> None:
        published = valkey().get(route_key(running.slug))
        assert isinstance(published, bytes)
        ahead = re.sub(rb'"updated":([0-9]+)', lambda found: b'"updated":' + str(int(found[1]) + 5000).encode(), published)
        valkey().set(route_key(running.slug), ahead.replace(b"-r1-1", b"-r0-1"))

        assert (repair_routes(), valkey().get(route_key(running.slug))) == (1, published)

    def test_what_takes_too_long_is_told_and_cleared(self, owner: User, cloud: FakeProvider, moving_clock: Clock, settle: Settle) -> None:
        deployment = deploy(owner)
        assert tell_overdue() == 0
        moving_clock.advance(31 * 60)
        assert tell_overdue() == 1
        assert Alert.objects.get().deployment_id == deployment.pk
        settle(deployment)

        assert tell_overdue() == 0
        assert Alert.objects.get().cleared_at is not None


def report(deployment: Deployment, moving_clock: Clock, in_flight: int, *, gateway: str = "one") -> None:
    now = milliseconds(moving_clock.now)
    valkey().hset(load_key(deployment.pk), gateway, f"{in_flight}:{now}:{now}")
    valkey().zadd(ACTIVE, {str(deployment.pk): now})


class TestDemand:
    def test_it_sleeps_when_nobody_calls_and_wakes_for_a_call(
        self, sleepy: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        assert follow_demand() == 0
        moving_clock.advance(901)
        assert follow_demand() == 1
        settle(sleepy)
        found = route(sleepy)
        assert found is not None
        assert (sleepy.status, cloud.names(), found["asleep"], found["status"]) == ("RUNNING", [], True, "RUNNING")
        assert follow_demand() == 0

        valkey().sadd(WAKE, str(sleepy.pk))
        assert follow_demand() == 1
        settle(sleepy)

        found = route(sleepy)
        assert found is not None
        assert (found["asleep"], len(found["replicas"]), valkey().scard(WAKE)) == (False, 1, 0)

    def test_what_is_called_does_not_sleep(self, sleepy: Deployment, moving_clock: Clock) -> None:
        moving_clock.advance(890)
        report(sleepy, moving_clock, 0)
        moving_clock.advance(20)

        assert follow_demand() == 0
        sleepy.refresh_from_db()
        assert sleepy.wanted_replicas == 1

    def test_a_long_run_keeps_it_awake(self, sleepy: Deployment, moving_clock: Clock) -> None:
        moving_clock.advance(5000)
        valkey().hset(load_key(sleepy.pk), "one", f"1:{milliseconds(moving_clock.now) - 4_000_000}:{milliseconds(moving_clock.now)}")

        assert follow_demand() == 0

    def test_more_calls_get_more_replicas_up_to_the_limit(
        self, sleepy: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        report(sleepy, moving_clock, 2, gateway="one")
        report(sleepy, moving_clock, 1, gateway="two")
        assert follow_demand() == 1
        settle(sleepy)
        assert len(serving(sleepy)) == 2

        report(sleepy, moving_clock, 50)
        follow_demand()
        settle(sleepy)
        assert len(serving(sleepy)) == 3

    def test_what_is_being_started_is_not_asked_for_again(self, sleepy: Deployment, cloud: FakeProvider, moving_clock: Clock) -> None:
        report(sleepy, moving_clock, 4)

        assert [follow_demand(), follow_demand(), follow_demand()] == [1, 0, 0]

        sleepy.refresh_from_db()
        assert sleepy.wanted_replicas == 2

    def test_an_update_of_a_sleeping_deployment_leaves_it_awake(
        self, sleepy: Deployment, owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        moving_clock.advance(901)
        follow_demand()
        settle(sleepy)
        assert cloud.names() == []

        update_deployment(actor=owner, deployment_id=sleepy.pk, size="M")
        settle(sleepy)

        assert (sleepy.status, cloud.names()) == ("RUNNING", [f"d{sleepy.pk.hex}-r2-1"])

    def test_after_a_calm_while_as_many_stay_as_were_needed_at_most_in_it(
        self, sleepy: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        report(sleepy, moving_clock, 6)
        follow_demand()
        settle(sleepy)
        for in_flight in (4, 1):
            moving_clock.advance(70)
            report(sleepy, moving_clock, in_flight)
            follow_demand()

        settle(sleepy)

        assert len(serving(sleepy)) == 2

    def test_fewer_calls_take_replicas_away_only_after_a_calm_while(
        self, sleepy: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        report(sleepy, moving_clock, 6)
        follow_demand()
        settle(sleepy)
        assert len(serving(sleepy)) == 3
        report(sleepy, moving_clock, 1)

        assert follow_demand() == 0
        moving_clock.advance(121)
        report(sleepy, moving_clock, 1)
        assert follow_demand() == 1
        settle(sleepy)

        assert len(serving(sleepy)) == 1

    def test_a_gateway_that_died_counts_no_more(self, sleepy: Deployment, moving_clock: Clock) -> None:
        report(sleepy, moving_clock, 6)
        moving_clock.advance(11)

        assert follow_demand() == 0

    @pytest.mark.parametrize("nonsense", [b"nonsense", b"1:2", b"a:b:c", b""], ids=["word", "short", "letters", "empty"])
    def test_nonsense_in_the_reports_is_passed_over(self, sleepy: Deployment, moving_clock: Clock, nonsense: bytes) -> None:
        valkey().hset(load_key(sleepy.pk), "one", nonsense)
        valkey().sadd(WAKE, b"\xff\xfe", b"no id")

        assert follow_demand() == 0

    def test_a_replica_that_cannot_wake_is_an_error_with_its_reason(
        self, sleepy: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        moving_clock.advance(901)
        follow_demand()
        settle(sleepy)
        cloud.fail_with = "its model is gone"
        valkey().sadd(WAKE, str(sleepy.pk))
        follow_demand()

        settle(sleepy)

        found = route(sleepy)
        assert found is not None
        assert (sleepy.status, found["reason"]["detail"]) == ("ERROR", "its model is gone")


def runs(deployment: Deployment, clock: Clock, *, good: int, bad: int) -> None:
    """Runs of the serving revision that ended now."""
    workflow = deployment.workflow
    assert workflow is not None
    UsageEvent.objects.bulk_create(
        UsageEvent(
            run=uuid4(),
            deployment=deployment,
            workflow_id=workflow.pk,
            project_id=workflow.project_id,
            namespace_id=deployment.namespace_id,
            product="AWS CLUSTER M",
            state="FAILURE" if index < bad else "SUCCESS",
            fault=index < bad,
            revision=deployment.served_revision,
            duration_ms=10,
            ended_at=clock.now,
            micro_credits=0,
        )
        for index in range(good + bad)
    )


class TestWatch:
    @pytest.fixture
    def fresh(self, running: Deployment, owner: User, settle: Settle, moving_clock: Clock) -> Deployment:
        """A deployment whose second version has just taken over."""
        runs(running, moving_clock, good=20, bad=1)
        assert running.workflow is not None
        push(running.workflow)
        update_deployment(actor=owner, deployment_id=running.pk)
        moving_clock.advance(1)
        return settle(running)

    def test_a_version_that_fails_its_callers_is_taken_back(
        self, fresh: Deployment, moving_clock: Clock, settle: Settle, cloud: FakeProvider
    ) -> None:
        moving_clock.advance(5)
        runs(fresh, moving_clock, good=2, bad=8)

        assert watch_new_revisions() == 1
        settle(fresh)

        found = route(fresh)
        assert found is not None
        assert (fresh.status, found["tag"], fresh.reason_code) == ("RUNNING", "v1", "ROLLED_BACK")
        assert fresh.reason_detail == "8 of 10 runs failed with v2 on size M; went back to v1 on size M."
        assert (Revision.objects.get(number=3).kind, Revision.objects.get(number=3).created_by) == ("AUTO_ROLLBACK", None)
        assert watch_new_revisions() == 0

    def test_a_restart_goes_on_being_watched_and_what_was_taken_back_is_not_gone_back_to(
        self, fresh: Deployment, owner: User, settle: Settle, moving_clock: Clock
    ) -> None:
        until = fresh.watch_until
        restart_deployment(actor=owner, deployment_id=fresh.pk)
        settle(fresh)
        assert (fresh.served_revision, fresh.watch_until) == (3, until)
        moving_clock.advance(5)
        runs(fresh, moving_clock, good=0, bad=8)

        assert watch_new_revisions() == 1
        settle(fresh)

        assert (fresh.status, fresh.reason_code, fresh.served_revision) == ("RUNNING", "ROLLED_BACK", 4)
        assert list(Revision.objects.filter(deployment=fresh, state="FAILED").order_by("number").values_list("number", flat=True)) == [2, 3]
        with pytest.raises(Conflict, match="No other revision has served before"):
            roll_back_deployment(actor=owner, deployment_id=fresh.pk)

    def test_taking_back_is_tried_again_when_it_could_not_be_done_and_the_faults_go_on(
        self, fresh: Deployment, settle: Settle, moving_clock: Clock, cloud: FakeProvider
    ) -> None:
        moving_clock.advance(5)
        runs(fresh, moving_clock, good=0, bad=8)
        assert watch_new_revisions() == 1
        moving_clock.advance(1)
        cloud.refuse = BadCredentials("the key was revoked")
        settle(fresh)
        assert (fresh.status, fresh.served_revision, fresh.reason_code) == ("RUNNING", 2, "BAD_CREDENTIALS")
        assert watch_new_revisions() == 0
        cloud.refuse = None
        moving_clock.advance(5)
        runs(fresh, moving_clock, good=0, bad=8)

        assert watch_new_revisions() == 1
        settle(fresh)

        assert (fresh.status, fresh.reason_code, fresh.served_revision) == ("RUNNING", "ROLLED_BACK", 4)

    def test_a_few_runs_say_nothing(self, fresh: Deployment, moving_clock: Clock) -> None:
        runs(fresh, moving_clock, good=0, bad=4)

        assert watch_new_revisions() == 0

    def test_a_version_that_fails_no_more_than_the_one_before_stays(self, fresh: Deployment, moving_clock: Clock) -> None:
        runs(fresh, moving_clock, good=8, bad=2)

        assert watch_new_revisions() == 0

    def test_after_its_first_minutes_it_is_left_alone(self, fresh: Deployment, moving_clock: Clock) -> None:
        moving_clock.advance(timedelta(minutes=11).total_seconds())
        runs(fresh, moving_clock, good=0, bad=50)

        assert watch_new_revisions() == 0

    def test_who_does_not_want_it_is_left_alone(self, running: Deployment, owner: User, settle: Settle, moving_clock: Clock) -> None:
        configure_deployment(actor=owner, deployment_id=running.pk, auto_rollback=False)
        settle(running)
        assert running.workflow is not None
        push(running.workflow)
        update_deployment(actor=owner, deployment_id=running.pk)
        settle(running)
        runs(running, moving_clock, good=0, bad=50)

        assert watch_new_revisions() == 0

    def test_a_newer_wish_is_not_overridden(self, fresh: Deployment, owner: User, moving_clock: Clock) -> None:
        runs(fresh, moving_clock, good=0, bad=50)
        update_deployment(actor=owner, deployment_id=fresh.pk, size="L")

        assert watch_new_revisions() == 0
        fresh.refresh_from_db()
        assert fresh.size == "L"
