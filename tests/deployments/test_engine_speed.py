"""What rests costs nothing: what each second looks at, and what a look asks the database for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.common.clock import milliseconds
from controlplane.common.valkey import valkey
from deployments.bundles.build import build_for_waiting
from deployments.errors import StaleLease
from deployments.leases import LEASE, claim, renew
from deployments.logs_tail import READ_TO, tail_logs
from deployments.models import Deployment, LogLine
from deployments.providers import registry
from deployments.providers.base import LogChunk, ProviderUnavailable, ReplicaState
from deployments.reconcile import demand
from deployments.reconcile.backoff import poll
from deployments.reconcile.loop import HANDED_OUT, follow_hint, reconcile, take_due
from deployments.reconcile.sweep import sweep_providers
from deployments.routing import repair_routes
from tests.deployments.builders import deploy, make_workflow
from tests.deployments.conftest import Clock
from tests.fakes.provider import FakeProvider

pytestmark = pytest.mark.django_db(transaction=True)
Settle = Callable[..., Deployment]


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The deployments whose load was read, in order."""
    seen: list[UUID] = []
    read = demand.read_loads

    def note(pks: list[UUID]) -> dict[UUID, demand.Load]:
        seen.extend(pks)
        return read(pks)

    monkeypatch.setattr(demand, "read_loads", note)
    return seen


@pytest.fixture
def sleepy(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    """A serverless deployment that runs and sleeps after a quarter of an hour."""
    return settle(deploy(owner, flavour="SERVERLESS"))


def test_what_rests_is_not_looked_at_each_second(sleepy: Deployment, moving_clock: Clock, looked_at: list[UUID]) -> None:
    moving_clock.advance(800)
    demand.follow_demand()
    assert looked_at == []

    moving_clock.advance(101)
    demand.follow_demand()
    assert looked_at == [sleepy.pk]


def test_what_was_called_rests_again_until_its_idle_time_is_over(sleepy: Deployment, moving_clock: Clock, looked_at: list[UUID]) -> None:
    moving_clock.advance(600)
    valkey().zadd(demand.ACTIVE, {str(sleepy.pk): milliseconds(moving_clock.now)})
    demand.follow_demand()
    assert looked_at == [sleepy.pk]

    moving_clock.advance(800)
    assert demand.follow_demand() == 0
    assert looked_at == [sleepy.pk]

    moving_clock.advance(101)
    assert demand.follow_demand() == 1


def test_a_limit_that_is_changed_is_looked_at_though_nobody_calls(sleepy: Deployment, looked_at: list[UUID]) -> None:
    Deployment.objects.filter(pk=sleepy.pk).update(min_replicas=2, max_replicas=3)
    assert demand.follow_demand() == 1
    sleepy.refresh_from_db()
    assert sleepy.wanted_replicas == 2


def test_looks_do_not_read_the_documents_of_workflows_nor_logs_of_builds(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner, flavour="CLUSTER"))
    with CaptureQueriesContext(
        connection,
    ) as asked:
        reconcile(deployment.pk)
    read = [query["sql"] for query in asked.captured_queries if query["sql"].startswith("SELECT")]
    assert read
    assert not [sql for sql in read if '"projects_workflowversion"."data"' in sql or '"deployments_bundle"."log"' in sql]
    assert len(asked) < 25


def test_a_start_asks_the_database_for_what_it_needs_once(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    """Of a version that is built: three switches, a replica, the log of the build, the looks while it boots, and who pays for it (4 and 3)."""
    workflow = make_workflow(owner)
    settle(deploy(owner, workflow))
    cloud.looks_until_ready = 10
    deployment = deploy(owner, workflow)
    with CaptureQueriesContext(connection) as first:
        wait = reconcile(deployment.pk)
    assert wait
    assert len(first) <= 38 + 4
    with CaptureQueriesContext(connection) as waiting:
        reconcile(deployment.pk)
    assert len(waiting) <= 7
    cloud.looks_until_ready = 0
    with CaptureQueriesContext(connection) as last:
        reconcile(deployment.pk)
    deployment.refresh_from_db()
    assert deployment.status == "RUNNING"
    assert len(last) <= 27 + 3


def test_a_look_that_finds_nothing_new_writes_nothing_but_its_lease(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner, flavour="CLUSTER"))
    reconcile(deployment.pk)
    with CaptureQueriesContext(connection) as asked:
        reconcile(deployment.pk)
    wrote = [query["sql"] for query in asked.captured_queries if not query["sql"].startswith("SELECT")]
    assert len(wrote) == 2
    assert all("lease_token" in sql for sql in wrote)


@pytest.mark.parametrize("count", [1, 3])
def test_a_sweep_over_what_rests_asks_as_much_for_many_as_for_one(
    count: int, owner: User, cloud: FakeProvider, settle: Settle, no_wakeups: list[object]
) -> None:
    for _ in range(count):
        settle(deploy(owner, flavour="CLUSTER"))
    no_wakeups.clear()
    sweep_providers()
    with CaptureQueriesContext(connection) as asked:
        assert (sweep_providers().differing, repair_routes(), no_wakeups) == (0, 0, [])
    assert len(asked) <= 5


def test_what_is_due_is_handed_out_once_the_longest_due_first(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    first, second, leased, resting = [settle(deploy(owner, flavour="CLUSTER")) for _ in range(4)]
    for late, deployment in enumerate([resting, second, first, leased]):
        Deployment.objects.filter(pk=deployment.pk).update(next_check_at=moving_clock.now - timedelta(seconds=late) if late else None)
    claim(leased.pk)

    assert take_due() == [first.pk, second.pk]
    assert take_due() == []
    moving_clock.advance(HANDED_OUT.total_seconds())
    assert set(take_due()) == {first.pk, second.pk}


def test_what_another_worker_has_locked_is_not_waited_for(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    deployment = settle(deploy(owner, flavour="CLUSTER"))
    Deployment.objects.filter(pk=deployment.pk).update(next_check_at=moving_clock.now)
    other = connections.create_connection("default")
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM deployments_deployment FOR NO KEY UPDATE")
        assert (take_due(), claim(deployment.pk)) == ([], None)
    finally:
        other.rollback()
        other.close()
    assert take_due() == [deployment.pk]


def test_a_lease_is_extended_only_when_a_third_of_it_is_over(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    lease = claim(settle(deploy(owner, flavour="CLUSTER")).pk)
    assert lease is not None
    with CaptureQueriesContext(connection) as asked:
        renew(lease)
    assert len(asked) == 1

    moving_clock.advance(LEASE.total_seconds() / 2)
    renew(lease)
    assert lease.deployment.lease_expires_at == lease.until == moving_clock.now + LEASE

    Deployment.objects.filter(pk=lease.deployment.pk).update(lease_token=uuid4())
    with pytest.raises(StaleLease):
        renew(lease)


class TellsPositions(FakeProvider):
    """Tells how far the logs reach; reading them fails while `deaf`."""

    deaf = False

    def log_positions(self) -> dict[str, str]:
        return {name: str(len(lines)) for name, lines in self.printed.items()}

    def drop_logs(self, name: str) -> None:
        self.printed.pop(name, None)

    def read_logs(self, name: str, cursor: str, *, limit: int) -> LogChunk:
        if self.deaf:
            raise ProviderUnavailable("No answer.")
        return super().read_logs(name, cursor, limit=limit)


def test_logs_that_have_not_grown_are_not_compared_again_and_none_is_missed(
    owner: User, cloud: FakeProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatty = TellsPositions()
    monkeypatch.setitem(registry.DRIVERS, "local", lambda: chatty)
    registry.provider.cache_clear()
    name = settle(deploy(owner, flavour="CLUSTER")).replicas.get().name
    chatty.printed[name] = ["one"]
    assert [tail_logs(), tail_logs()] == [1, 0]
    assert READ_TO["local"] == {name: "1"}

    chatty.printed[name].append("two")
    chatty.deaf = True
    assert tail_logs() == 0
    chatty.deaf = False
    assert [tail_logs(), tail_logs()] == [1, 0]
    assert LogLine.objects.filter(source="run").count() == 2


def test_a_new_deployment_rests_as_soon_as_it_runs(
    owner: User, cloud: FakeProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(FakeProvider, "get_replica", lambda self, name: looks.append(name))
    deployment = settle(deploy(owner, flavour="CLUSTER"))
    assert (deployment.status, looks) == ("RUNNING", [])
    assert deployment.next_check_at is not None
    assert deployment.lease_token is None


def test_a_hint_that_comes_late_costs_no_look(owner: User, cloud: FakeProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = settle(deploy(owner, flavour="CLUSTER"))
    looks: list[str] = []

    def get_replica(self: FakeProvider, name: str) -> ReplicaState:
        looks.append(name)
        return self.state(name)

    monkeypatch.setattr(FakeProvider, "get_replica", get_replica)
    assert (follow_hint(deployment.pk), looks) == (None, [])

    Deployment.objects.filter(pk=deployment.pk).update(next_check_at=clock.now())
    until = clock.now() + HANDED_OUT
    assert take_due(until) == [deployment.pk]
    follow_hint(deployment.pk)
    assert looks == []
    follow_hint(deployment.pk, handed_out=until)
    assert len(looks) == 1


def test_of_two_hints_to_what_starts_only_one_is_followed_by_the_next(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    cloud.looks_until_ready = 10
    deployment = deploy(owner)
    assert deployment.wanted_version_id
    build_for_waiting(deployment.wanted_version_id)
    until = moving_clock.now + HANDED_OUT
    assert take_due(until) == [deployment.pk]

    assert follow_hint(deployment.pk, handed_out=until)
    assert follow_hint(deployment.pk, handed_out=until) is None
    assert follow_hint(deployment.pk) is None
    moving_clock.advance(0.5)
    assert follow_hint(deployment.pk)
    assert follow_hint(deployment.pk) is None


@pytest.mark.parametrize(("remote", "most"), [(False, 20), (True, 10)], ids=["this machine", "a cloud"])
def test_what_boots_for_eight_seconds_is_asked_after_seldom_and_seen_soon(remote: bool, most: int) -> None:
    looks, age, late = 0, 0.0, 0.0
    while age < 8:
        late = poll(age, remote=remote)
        age += late
        looks += 1
    assert looks <= most
    assert late < 2
