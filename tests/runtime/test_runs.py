"""The book of runs: bounded in time, in size and in what it remembers of the past."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from runtime import runs
from runtime.errors import RequestRefused
from runtime.runs import RunBook
from runtime.settings import Settings


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Stands at 0."""
    return Clock()


@pytest.fixture
def book(clock: Clock) -> RunBook:
    """Keeps 100 bytes of answers for 600 s and holds 1,000 bytes of inputs."""
    settings = Settings(bundle=Path("/none"), socket=Path("/none"), kept_answer_limit=100, held_input_limit=1000)
    return RunBook(settings, clock)


def run_id(milliseconds: int) -> str:
    """A UUIDv7 of that time."""
    return str(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | milliseconds))


def finish(book: RunBook, uuid: str, answer: bytes = b"x" * 10) -> None:
    """Begin and end a run."""
    book.end(book.begin(uuid, b"body"), answer)


def test_a_run_is_found_in_hand_and_after_its_end(book: RunBook) -> None:
    run = book.begin(run_id(1), b"body")
    assert book.find(run_id(1)) is run
    assert not book.idle.is_set()
    book.end(run, b"answer")
    assert book.find(run_id(1)) is run
    assert asyncio.run(run.wait()) == b"answer"
    assert run.body is None
    assert book.idle.is_set()
    assert book.find(run_id(2)) is None


def test_an_answer_is_kept_for_ten_minutes(book: RunBook, clock: Clock) -> None:
    finish(book, run_id(1))
    clock.now = 600.0
    assert book.find(run_id(1)) is not None
    clock.now = 600.1
    with pytest.raises(RequestRefused, match="no longer kept") as refusal:
        book.find(run_id(1))
    assert (refusal.value.status, refusal.value.code) == (410, "run_expired")
    assert book.kept_bytes == 0


def test_the_oldest_answers_make_room(book: RunBook) -> None:
    for number in range(1, 12):
        finish(book, run_id(number))
    assert book.kept_bytes == 100
    with pytest.raises(RequestRefused):
        book.find(run_id(1))
    assert book.find(run_id(2)) is not None


def test_runs_in_hand_do_not_expire(book: RunBook, clock: Clock) -> None:
    run = book.begin(run_id(1), b"body")
    clock.now = 10_000.0
    assert book.find(run_id(1)) is run


def test_inputs_beyond_the_bound_are_refused_until_runs_end(book: RunBook) -> None:
    first = book.begin(run_id(1), b"x" * 900)
    with pytest.raises(RequestRefused, match="fill the memory") as refusal:
        book.begin(run_id(2), b"x" * 200)
    assert (refusal.value.status, refusal.value.retry_after) == (503, 1)
    assert book.find(run_id(2)) is None
    book.end(first, b"")
    book.begin(run_id(2), b"x" * 200)


def test_what_was_forgotten_long_ago_is_still_not_run_again(book: RunBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "EXPIRED_IDS", 5)
    for number in range(1, 40):
        finish(book, run_id(number))
    for number in range(1, 30):
        with pytest.raises(RequestRefused):
            book.find(run_id(number))
    assert book.find(run_id(40)) is None
