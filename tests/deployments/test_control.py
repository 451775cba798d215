"""Pause, resume, restart, roll back, configure, schedules and expiry: what users ask for, through the API, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.accounts.models import User
from deployments.clockwork import expire_deployments, run_schedules
from deployments.models import Deployment, Replica, Revision, Schedule, StatusChange
from deployments.reconcile.loop import reconcile
from deployments.services import update_deployment
from deployments.states import Status
from tests.deployments.builders import deploy, push
from tests.deployments.conftest import Clock
from tests.deployments.test_api import Api
from tests.deployments.test_reconcile import history, route
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


@pytest.fixture
def running(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    """A deployment of v1 that serves."""
    return settle(deploy(owner))


@pytest.fixture
def call(api: Api, owner: User, running: Deployment) -> Callable[..., Any]:
    """Return `call(method, path, body)` to routes below the deployment."""

    def made(method: str, path: str = "", body: dict[str, Any] | None = None) -> Any:
        return getattr(api(owner), method)(f"/v1/deployments/{running.pk}/{path}", body, format="json")

    return made


def updated(deployment: Deployment, owner: User, settle: Settle, **size: str) -> Deployment:
    """Bring a pushed version or another size into service."""
    if not size:
        assert deployment.workflow is not None
        push(deployment.workflow)
    update_deployment(actor=owner, deployment_id=deployment.pk, **size)
    return settle(deployment)


class TestPause:
    def test_a_pause_removes_everything_and_keeps_the_url(
        self, call: Callable[..., Any], running: Deployment, cloud: FakeProvider, settle: Settle, moving_clock: Clock
    ) -> None:
        before = running.endpoint

        answer = call("post", "pause/")

        assert (answer.status_code, answer.json()["paused"]) == (202, True)
        settle(running)
        assert (running.status, cloud.names(), running.endpoint) == ("PAUSED", [], before)
        found = route(running)
        assert found is not None
        assert (found["status"], found["replicas"], found["asleep"]) == ("PAUSED", [], False)

    def test_runs_in_hand_end_before_the_replica_goes(self, call: Callable[..., Any], running: Deployment, cloud: FakeProvider) -> None:
        call("post", "pause/")

        wait = reconcile(running.pk)

        assert wait is not None
        assert wait <= 1
        assert (Replica.objects.get().status, cloud.deleted) == ("DRAINING", [])

    def test_resuming_brings_back_what_was_wanted(
        self, call: Callable[..., Any], running: Deployment, cloud: FakeProvider, settle: Settle
    ) -> None:
        call("post", "pause/")
        settle(running)

        assert call("post", "resume/").json()["paused"] is False
        settle(running)

        assert (running.status, cloud.names()) == ("RUNNING", [f"d{running.pk.hex}-r1-2"])
        assert history(running)[-4:] == ["QUEUED", "BUILDING", "SCALING", "RUNNING"]

    def test_pausing_twice_and_resuming_what_runs_change_nothing(
        self, call: Callable[..., Any], running: Deployment, settle: Settle
    ) -> None:
        assert call("post", "resume/").status_code == 202
        running.refresh_from_db()
        assert running.generation == 1
        call("post", "pause/")
        call("post", "pause/")
        running.refresh_from_db()
        assert running.generation == 2

    def test_a_version_that_is_wanted_during_a_pause_comes_with_the_resume(
        self, call: Callable[..., Any], running: Deployment, owner: User, settle: Settle
    ) -> None:
        call("post", "pause/")
        settle(running)
        updated(running, owner, settle)
        assert running.status == Status.PAUSED

        call("post", "resume/")
        settle(running)

        found = route(running)
        assert found is not None
        assert (running.status, found["tag"], running.served_revision) == ("RUNNING", "v2", 2)

    def test_a_pause_in_the_middle_of_an_update_removes_both(
        self, call: Callable[..., Any], running: Deployment, owner: User, cloud: FakeProvider, settle: Settle
    ) -> None:
        cloud.looks_until_ready = 5
        update_deployment(actor=owner, deployment_id=running.pk, size="L")
        reconcile(running.pk)
        call("post", "pause/")

        settle(running)

        assert (running.status, cloud.names()) == ("PAUSED", [])


class TestRestart:
    def test_new_replicas_of_the_same_take_over(
        self, call: Callable[..., Any], running: Deployment, cloud: FakeProvider, settle: Settle
    ) -> None:
        assert call("post", "restart/").status_code == 202
        settle(running)

        assert (running.status, cloud.names()) == ("RUNNING", [f"d{running.pk.hex}-r2-1"])
        assert "SCALING" not in history(running)[4:]
        assert [one["kind"] for one in call("get", "revisions/").json()["results"]] == ["RESTART", "CREATE"]

    def test_after_an_error_it_tries_again(
        self, call: Callable[..., Any], running: Deployment, cloud: FakeProvider, settle: Settle
    ) -> None:
        cloud.fail_with = "out of luck"
        settle(running)
        assert running.status == Status.ERROR
        cloud.fail_with = ""

        call("post", "restart/")
        settle(running)

        assert (running.status, running.revision) == ("RUNNING", 1)


class TestRollBack:
    def test_without_words_it_goes_to_what_served_before(
        self, call: Callable[..., Any], running: Deployment, owner: User, settle: Settle
    ) -> None:
        updated(running, owner, settle)

        answer = call("post", "rollback/", {})

        assert (answer.status_code, answer.json()["tag"], answer.json()["outdated"]) == (202, "v1", True)
        settle(running)
        found = route(running)
        assert found is not None
        assert (running.status, found["tag"], running.served_revision) == ("RUNNING", "v1", 3)

    def test_to_a_tag_the_size_stays(self, call: Callable[..., Any], running: Deployment, owner: User, settle: Settle) -> None:
        updated(running, owner, settle)
        updated(running, owner, settle, size="L")

        call("post", "rollback/", {"tag": "v1"})
        settle(running)

        assert running.wanted_version is not None
        assert (running.wanted_version.tag, running.size, running.served_revision) == ("v1", "L", 4)

    def test_to_a_revision_its_size_comes_along(self, call: Callable[..., Any], running: Deployment, owner: User, settle: Settle) -> None:
        updated(running, owner, settle)
        updated(running, owner, settle, size="L")

        call("post", "rollback/", {"revision": 1})
        settle(running)

        assert running.wanted_version is not None
        assert (running.wanted_version.tag, running.size) == ("v1", "M")

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({}, 409, "nothing_to_roll_back_to"),
            ({"tag": "v9"}, 400, "unknown_tag"),
            ({"tag": "latest"}, 400, "unknown_tag"),
            ({"revision": 9}, 400, "unknown_revision"),
            ({"revision": True}, 400, "invalid"),
            ({"tag": "v1", "revision": 1}, 400, "invalid"),
        ],
    )
    def test_what_cannot_be_gone_back_to_is_refused(
        self, call: Callable[..., Any], running: Deployment, body: dict[str, Any], status: int, code: str
    ) -> None:
        answer = call("post", "rollback/", body)

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        running.refresh_from_db()
        assert (running.generation, Revision.objects.count()) == (1, 1)

    def test_the_history_tells_who_wanted_what_and_what_became_of_it(
        self, call: Callable[..., Any], running: Deployment, owner: User, cloud: FakeProvider, settle: Settle
    ) -> None:
        updated(running, owner, settle)
        cloud.failing = {f"d{running.pk.hex}-r3-1"}
        updated(running, owner, settle, size="L")

        rows = call("get", "revisions/").json()["results"]

        assert [(row["number"], row["kind"], row["tag"], row["size"], row["state"], row["serving"]) for row in rows] == [
            (3, "RESIZE", "v2", "L", "FAILED", False),
            (2, "UPDATE", "v2", "M", "SERVED", True),
            (1, "CREATE", "v1", "M", "SERVED", False),
        ]
        assert {row["created_by"] for row in rows} == {owner.username}
        assert rows[0]["reason_code"] == "START_FAILED"
        assert len(rows[1]["digest"]) == 64
        assert (running.revision, running.size) == (2, "M")


class TestConfigure:
    def test_replicas_and_expiry_are_kept_and_shown(self, call: Callable[..., Any], running: Deployment, moving_clock: Clock) -> None:
        moving_clock.now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
        ends = (moving_clock.now + timedelta(days=1)).isoformat()

        shown = call("patch", "", {"min_replicas": 2, "max_replicas": 3, "expires_at": ends, "auto_rollback": False}).json()

        assert shown["replicas"] == {"serving": 1, "min_replicas": 2, "max_replicas": 3, "idle_seconds": 0, "asleep": False}
        assert shown["auto_rollback"] is False
        assert shown["expires_at"].startswith("2026-03-03T09:30:00")
        assert call("patch", "", {"expires_at": None}).json()["expires_at"] is None

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"min_replicas": 2}, "min_replicas"),
            ({"max_replicas": 11}, "max_replicas"),
            ({"min_replicas": 0, "idle_seconds": 600}, "min_replicas"),
            ({"max_replicas": "4"}, "max_replicas"),
            ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ({"auto_rollback": "no"}, "auto_rollback"),
        ],
    )
    def test_what_cannot_be_is_refused(self, call: Callable[..., Any], running: Deployment, body: dict[str, Any], field: str) -> None:
        answer = call("patch", "", body)

        assert answer.status_code == 400
        assert field in answer.json()["fields"]
        running.refresh_from_db()
        assert (running.generation, running.max_replicas, running.expires_at) == (1, 1, None)

    def test_a_serverless_deployment_sleeps_by_default(self, owner: User, cloud: FakeProvider) -> None:
        made = deploy(owner, flavour="SERVERLESS", size="S")

        assert (made.min_replicas, made.max_replicas, made.idle_seconds) == (0, 1, 900)


class TestSchedules:
    def test_it_is_off_in_the_evening_and_on_in_the_morning(
        self, call: Callable[..., Any], running: Deployment, moving_clock: Clock, settle: Settle
    ) -> None:
        off = call("post", "schedules/", {"action": "PAUSE", "cron": "0 19 * * 1-5", "time_zone": "Europe/Paris"})
        on = call("post", "schedules/", {"action": "RESUME", "cron": "0 7 * * 1-5", "time_zone": "Europe/Paris"})
        assert (off.status_code, off.json()["next_at"]) == (201, "2026-03-02T18:00:00Z")
        assert on.json()["next_at"] == "2026-03-03T06:00:00Z"

        assert run_schedules() == 0
        moving_clock.advance(9 * 3600 + 1)
        assert run_schedules() == 1
        assert settle(running).status == Status.PAUSED
        moving_clock.advance(12 * 3600)
        assert run_schedules() == 1
        assert settle(running).status == Status.RUNNING

    def test_after_a_time_without_workers_the_last_of_the_missed_times_counts(
        self, call: Callable[..., Any], running: Deployment, moving_clock: Clock, settle: Settle
    ) -> None:
        call("post", "schedules/", {"action": "PAUSE", "cron": "0 19 * * *"})
        call("post", "schedules/", {"action": "RESUME", "cron": "0 7 * * *"})
        moving_clock.advance(3 * 24 * 3600)

        assert run_schedules() == 2

        assert settle(running).status == Status.RUNNING
        assert Schedule.objects.filter(next_at__lte=moving_clock.now).count() == 0

    def test_after_a_long_time_without_workers_what_should_have_come_last_holds(
        self, call: Callable[..., Any], running: Deployment, moving_clock: Clock, settle: Settle
    ) -> None:
        call("post", "schedules/", {"action": "PAUSE", "cron": "0 19 * * *"})
        call("post", "schedules/", {"action": "RESUME", "cron": "0 7 * * *"})
        moving_clock.advance(2 * 24 * 3600 + 11 * 3600)

        assert run_schedules() == 2

        assert settle(running).status == Status.PAUSED

    def test_an_hour_that_comes_twice_ends_no_schedule(self, call: Callable[..., Any], running: Deployment, moving_clock: Clock) -> None:
        moving_clock.now = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
        call("post", "schedules/", {"action": "RESUME", "cron": "0 * * * *", "time_zone": "Europe/Paris"})

        for _ in range(5):
            moving_clock.advance(3600)
            run_schedules()

        assert Schedule.objects.get().next_at == datetime(2026, 10, 25, 5, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"cron": "every day"}, "cron"),
            ({"cron": "* * * * *"}, "cron"),
            ({"cron": "0 0 30 2 *"}, "cron"),
            ({"cron": "0 19 * * * *"}, "cron"),
            ({"cron": "0 19 * * *", "time_zone": "Mars/Olympus"}, "time_zone"),
            ({"cron": "0 19 * * *", "time_zone": "../../etc/passwd"}, "time_zone"),
            ({"cron": "0 19 * * *", "action": "EXPLODE"}, "action"),
        ],
    )
    def test_what_cannot_be_read_is_refused_with_what_to_write(self, call: Callable[..., Any], body: dict[str, Any], field: str) -> None:
        answer = call("post", "schedules/", {"action": "PAUSE", **body})

        assert answer.status_code == 400
        assert field in answer.json()["fields"]
        assert not Schedule.objects.exists()

    def test_a_schedule_that_is_deleted_does_nothing_any_more(
        self, api: Api, owner: User, call: Callable[..., Any], running: Deployment, moving_clock: Clock
    ) -> None:
        url = call("post", "schedules/", {"action": "PAUSE", "cron": "0 19 * * *"}).json()["url"]

        assert api(owner).delete(url).status_code == 204
        moving_clock.advance(24 * 3600)

        assert run_schedules() == 0


def test_a_deployment_ends_when_its_time_is_over(
    call: Callable[..., Any], running: Deployment, moving_clock: Clock, settle: Settle, cloud: FakeProvider
) -> None:
    call("patch", "", {"expires_at": (moving_clock.now + timedelta(hours=1)).isoformat()})
    assert expire_deployments() == 0
    moving_clock.advance(3601)

    assert expire_deployments() == 1
    assert expire_deployments() == 0
    settle(running)

    assert (running.status, cloud.names()) == ("DELETED", [])
    assert StatusChange.objects.get(reason_code="EXPIRED").reason_detail == "Its time was over at 2026-03-02 10:00 UTC."
