"""Filters of a log, and callers who wait for its next lines."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.db import transaction
from rest_framework.test import APIClient

from controlplane.accounts.models import User
from controlplane.common.errors import InvalidInput
from deployments import logs_follow, selectors_logs
from deployments.logs import NewLine, append_lines
from deployments.logs_follow import Seats, follow_log
from deployments.models import Deployment, LogHead, LogLine
from deployments.selectors_logs import LogRequest, read_log
from deployments.services import delete_deployment
from tests.deployments.builders import deploy
from tests.fakes.provider import FakeProvider

Api = Callable[..., APIClient]
RUN = UUID("0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31")
PERSON, OTHER = uuid4(), uuid4()


@pytest.fixture
def deployment(owner: User, cloud: FakeProvider) -> Deployment:
    made = deploy(owner)
    LogLine.objects.all().delete()
    LogHead.objects.all().delete()
    return made


def write(
    deployment: Deployment, *messages: str, at: int = 1000, level: str = "INFO", source: str = "run", run: UUID | None = None
) -> None:
    with transaction.atomic():
        append_lines(deployment.pk, [NewLine(at, level, message, source, run) for message in messages])


def texts(page: dict[str, Any]) -> list[str]:
    return [line["message"] if isinstance(line, dict) else line.message for line in page["logs"]]


class Pauses:
    """Stands in for waiting: counts, and does at each pause what the test wants to happen meanwhile."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self.happenings = list(happenings)
        self.count = 0

    def __call__(self, seconds: float) -> None:
        self.count += 1
        if self.happenings:
            self.happenings.pop(0)()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pauses]:
    """Return `pauses(*happenings)`, which takes the place of sleeping between two looks."""

    def replaced(*happenings: Callable[[], object]) -> Pauses:
        made = Pauses(*happenings)
        monkeypatch.setattr(logs_follow, "pause", made)
        return made

    return replaced


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"min_level": "WARNING"}, ["slow", "broken"]),
        ({"min_level": "ERROR"}, ["broken"]),
        ({"min_level": "INFO"}, ["Building", "ran", "slow", "broken"]),
        ({"level": "WARNING"}, ["slow"]),
        ({"source": "build"}, ["Building"]),
        ({"run": str(RUN)}, ["ran", "broken"]),
        ({"run": str(RUN), "level": "ERROR"}, ["broken"]),
        ({"search": "BUILD"}, ["Building"]),
        ({"search": "%"}, []),
        ({"search": "r", "start": 1001, "limit": 1}, ["ran"]),
    ],
    ids=str,
)
def test_lines_are_filtered(api: Api, owner: User, deployment: Deployment, query: dict[str, str], found: list[str]) -> None:
    write(deployment, "Building", source="build")
    write(deployment, "ran", run=RUN)
    write(deployment, "slow", level="WARNING")
    write(deployment, "broken", level="ERROR", run=RUN)

    answer = api(owner).get(f"/v1/deployments/{deployment.pk}/logs/", query)

    assert texts(answer.json()) == found
    assert set(answer.json()) == {"logs", "end"}


@pytest.mark.parametrize(
    "query", [{"min_level": "LOUD"}, {"source": "x"}, {"run": "1"}, {"search": "a\0"}, {"search": "a" * 201}, {"follow": "x"}], ids=str
)
def test_filters_that_make_no_sense_are_refused(api: Api, owner: User, deployment: Deployment, query: dict[str, str]) -> None:
    answer = api(owner).get(f"/v1/deployments/{deployment.pk}/logs/", query)

    assert (answer.status_code, list(answer.json()["fields"])) == (400, list(query))


def test_a_search_that_takes_too_long_says_how_to_ask_for_less(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    write(deployment, "a line")
    monkeypatch.setattr(selectors_logs, "SEARCH_SECONDS", 0.05)
    rows = LogLine.objects.extra(where=["pg_sleep(2) IS NOT NULL"])
    monkeypatch.setattr(selectors_logs, "matching", lambda *_: rows)

    with pytest.raises(InvalidInput) as caught:
        read_log(deployment.pk, LogRequest(limit=10, search="x"))

    assert caught.value.code == "search_too_long"
    assert "shorter period" in caught.value.detail


def test_lines_that_are_there_are_given_at_once(deployment: Deployment, pauses: Callable[..., Pauses]) -> None:
    waiting = pauses()
    write(deployment, "one", "two")

    newest = follow_log(deployment.pk, LogRequest(limit=1), person=PERSON)
    page = follow_log(deployment.pk, LogRequest(limit=10, start=1001), person=PERSON)

    assert (texts(newest), newest["end"]) == (["two"], 1001)
    assert (texts(page), page["end"], page["retry_after_ms"], waiting.count) == (["two"], 1001, 0, 0)


def test_the_answer_is_held_until_there_is_a_line(deployment: Deployment, pauses: Callable[..., Pauses]) -> None:
    write(deployment, "old")
    waiting = pauses(lambda: None, lambda: write(deployment, "new"))

    page = follow_log(deployment.pk, LogRequest(limit=10, start=1001), person=PERSON)

    assert (texts(page), page["end"], waiting.count) == (["new"], 1001, 2)


def test_lines_that_do_not_match_are_passed_over_and_never_looked_at_again(deployment: Deployment, pauses: Callable[..., Pauses]) -> None:
    pauses(
        lambda: write(deployment, "nothing of note"),
        lambda: write(deployment, "broken", level="ERROR"),
        lambda: write(deployment, "all well"),
    )
    wanted = LogRequest(limit=10, start=0, level="ERROR")

    page = follow_log(deployment.pk, wanted, person=PERSON)

    assert (texts(page), page["end"]) == (["broken"], 1001)


def test_without_a_line_the_answer_comes_when_the_time_is_over_and_misses_nothing(
    deployment: Deployment, pauses: Callable[..., Pauses], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_follow, "HOLD_SECONDS", 0.5)
    waiting = pauses(lambda: write(deployment, "passed over"))

    page = follow_log(deployment.pk, LogRequest(limit=10, start=0, level="ERROR"), person=PERSON)

    assert page == {"logs": [], "end": 1000, "retry_after_ms": 0}
    assert waiting.count == 2


def test_a_follower_sees_every_line_of_many_writers_once(deployment: Deployment, pauses: Callable[..., Pauses]) -> None:
    steps = [lambda number=number: write(deployment, f"{number}a", f"{number}b", at=500 + 7 * number) for number in range(12)]
    pauses(*steps)
    seen: list[str] = []
    start = 0

    while len(seen) < 24:
        page = follow_log(deployment.pk, LogRequest(limit=1, start=start), person=PERSON)
        seen += texts(page)
        start = page["end"] + 1

    assert seen == [f"{number}{letter}" for number in range(12) for letter in "ab"]


def test_with_an_end_nothing_is_waited_for(deployment: Deployment, pauses: Callable[..., Pauses]) -> None:
    waiting = pauses()

    for start in (None, 5):
        page = follow_log(deployment.pk, LogRequest(limit=10, start=start, end=10), person=PERSON)
        assert page["logs"] == []

    assert waiting.count == 0


def test_only_so_many_are_held_and_one_person_takes_half_at_most(settings: LazySettings) -> None:
    settings.LOG_FOLLOWERS = 4
    seats = Seats()

    with ExitStack() as stack:
        got = [stack.enter_context(seats.one(person)) for person in (PERSON, PERSON, PERSON, OTHER, OTHER, uuid4())]
    assert got == [True, True, False, True, True, False]
    assert not seats.taken


def test_who_finds_no_seat_is_answered_at_once_and_told_when_to_ask_again(
    api: Api, owner: User, deployment: Deployment, settings: LazySettings, pauses: Callable[..., Pauses]
) -> None:
    waiting = pauses()
    settings.LOG_FOLLOWERS = 0
    url = f"/v1/deployments/{deployment.pk}/logs/"

    nothing = api(owner).get(url, {"follow": "true", "start": "7"})
    write(deployment, "a line")
    line = api(owner).get(url, {"follow": "true", "start": "7"})

    assert (nothing.json(), nothing.headers["Retry-After"]) == ({"logs": [], "end": 6, "retry_after_ms": 1000}, "1")
    assert (texts(line.json()), line.json()["retry_after_ms"], "Retry-After" in line.headers) == (["a line"], 0, False)
    assert waiting.count == 0


def test_a_seat_is_free_again_after_a_fault(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_follow, "newest_time", lambda pk: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        follow_log(deployment.pk, LogRequest(limit=1, start=0), person=PERSON)

    assert not logs_follow.seats.taken


def test_who_may_not_read_any_more_gets_nothing_of_what_came_meanwhile(
    api: Api, owner: User, deployment: Deployment, pauses: Callable[..., Pauses]
) -> None:
    def change_owner() -> None:
        delete_deployment(actor=owner, deployment_id=deployment.pk)
        Deployment.objects.filter(pk=deployment.pk).update(workflow=None)
        write(deployment, "a secret")

    pauses(change_owner)

    answer = api(owner).get(f"/v1/deployments/{deployment.pk}/logs/", {"follow": "true", "start": "1"})

    assert answer.status_code == 404
    assert "secret" not in answer.content.decode()


def test_a_stranger_follows_nothing(api: Api, stranger: User, deployment: Deployment, pauses: Callable[..., Pauses]) -> None:
    waiting = pauses()

    answer = api(stranger).get(f"/v1/deployments/{deployment.pk}/logs/", {"follow": "true"})

    assert (answer.status_code, waiting.count) == (404, 0)


def test_callers_in_other_threads_share_the_seats(settings: LazySettings) -> None:
    settings.LOG_FOLLOWERS = 3
    seats, together, got = Seats(), threading.Barrier(8), []

    def sit(number: int) -> None:
        with seats.one(UUID(int=number)) as seated:
            got.append(seated)
            together.wait(10)

    threads = [threading.Thread(target=sit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert (got.count(True), got.count(False)) == (3, 5)
