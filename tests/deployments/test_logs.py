"""Log lines arrive once, in one order, and a reader that goes on from `end` misses none."""

from __future__ import annotations

import json
from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import transaction

from controlplane.accounts.models import User
from deployments import logs_tail
from deployments.logs import NewLine, append_lines
from deployments.logs_tail import parse_line, tail_logs
from deployments.models import Deployment, LogLine, Replica
from deployments.providers.base import ProviderUnavailable
from deployments.selectors_logs import LogRequest, read_log
from deployments.services import delete_deployment
from tests.deployments.builders import deploy
from tests.fakes.provider import FakeProvider

RUN = "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31"
Settle = Callable[..., Deployment]


def line(message: str, **more: object) -> str:
    return json.dumps({"ts": 1_772_442_002_100, "level": "INFO", "message": message, **more})


def messages(deployment: Deployment) -> list[str]:
    return list(LogLine.objects.filter(deployment=deployment, source="run").order_by("timestamp").values_list("message", flat=True))


@pytest.fixture
def running(owner: User, cloud: FakeProvider, settle: Settle) -> Deployment:
    return settle(deploy(owner))


def test_new_lines_are_fetched_once(running: Deployment, cloud: FakeProvider) -> None:
    printed = cloud.printed.setdefault(cloud.created[0], [line("one"), line("two")])

    assert (tail_logs(), tail_logs()) == (2, 0)
    printed.append(line("three"))
    tail_logs()

    assert messages(running) == ["one", "two", "three"]


def test_a_worker_that_dies_between_fetching_and_committing_loses_and_repeats_nothing(
    running: Deployment, cloud: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.printed[cloud.created[0]] = [line("one"), line("two")]

    def die(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(logs_tail, "write_lines", die)
        with pytest.raises(ZeroDivisionError):
            tail_logs()
    tail_logs()

    assert messages(running) == ["one", "two"]


def test_two_workers_at_the_same_chunk_write_it_once(running: Deployment, cloud: FakeProvider) -> None:
    cloud.printed[cloud.created[0]] = [line("one")]
    first, second = Replica.objects.get(), Replica.objects.get()

    assert (logs_tail.tail_replica(first), logs_tail.tail_replica(second)) == (1, 0)

    assert messages(running) == ["one"]


def test_a_provider_that_does_not_answer_is_asked_again(running: Deployment, cloud: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.printed[cloud.created[0]] = [line("one")]

    def down(*_: object, **__: object) -> None:
        raise ProviderUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "read_logs", down)
        assert tail_logs() == 0

    assert tail_logs() == 1


def test_the_last_lines_of_a_replica_are_fetched_after_it_is_gone(
    running: Deployment, owner: User, cloud: FakeProvider, settle: Settle
) -> None:
    delete_deployment(actor=owner, deployment_id=running.pk)
    settle(running)
    cloud.printed[cloud.created[0]] = [line("the end")]

    tail_logs()
    tail_logs()

    assert messages(running) == ["the end"]
    assert Replica.objects.get().log_complete


def test_a_line_about_a_run_keeps_run_and_duration_and_traceback() -> None:
    found = parse_line(line("run failed", run=RUN, duration_ms=12.5, level="ERROR", traceback="Traceback …"))

    assert found == NewLine(1_772_442_002_100, "ERROR", "run failed\nTraceback …", "run", UUID(RUN), 12.5)


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"ts":"x","level":"INFO","message":"m"}', line("m", run="no uuid")])
def test_an_unreadable_line_is_kept_as_it_is(text: str) -> None:
    assert (parse_line(text).message, parse_line(text).level) == (text, "WARNING")


def test_times_rise_strictly_so_that_late_lines_are_not_missed(running: Deployment) -> None:
    with transaction.atomic():
        append_lines(running.pk, [NewLine(5_000_000_000_000, "INFO", text, "run") for text in ("a", "b")])
    end = read_log(running.pk, LogRequest(limit=10))["end"]
    with transaction.atomic():
        append_lines(running.pk, [NewLine(4_000_000_000_000, "INFO", "late", "run")])

    later = read_log(running.pk, LogRequest(limit=10, start=end + 1))

    assert [found.message for found in later["logs"]] == ["late"]
    assert later["end"] == end + 1


def test_pages_of_a_log_join_without_gap_or_overlap(running: Deployment) -> None:
    with transaction.atomic():
        append_lines(running.pk, [NewLine(5_000_000_000_000, "INFO", str(number), "run") for number in range(10)])
    start, seen = 5_000_000_000_000, []

    while page := read_log(running.pk, LogRequest(limit=3, start=start)):
        if not page["logs"]:
            break
        seen += [found.message for found in page["logs"]]
        start = page["end"] + 1

    assert seen == [str(number) for number in range(10)]
    assert page["end"] == start - 1


def test_without_a_start_the_newest_lines_come_in_order(running: Deployment) -> None:
    with transaction.atomic():
        append_lines(running.pk, [NewLine(5_000_000_000_000, "INFO", str(number), "run") for number in range(5)])

    assert [found.message for found in read_log(running.pk, LogRequest(limit=2))["logs"]] == ["3", "4"]


def test_an_empty_log_has_an_end_that_misses_nothing(running: Deployment) -> None:
    LogLine.objects.all().delete()

    assert read_log(running.pk, LogRequest(limit=2)) == {"logs": [], "end": 0}
