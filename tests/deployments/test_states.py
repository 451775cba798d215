"""The table of states, and that the documentation shows it."""

from __future__ import annotations

from pathlib import Path

from deployments.reconcile.steps import STEPS
from deployments.states import ALLOWED, MEANINGS, NEXT_STEPS, Status, next_step, state_diagram

DOCUMENT = Path(__file__).parents[2] / "docs" / "states.md"


def test_every_status_has_its_followers_a_meaning_and_a_step() -> None:
    assert set(ALLOWED) == set(MEANINGS) == set(STEPS) == set(Status)


def test_no_status_follows_itself_and_only_deleted_ends() -> None:
    assert all(status not in after for status, after in ALLOWED.items())
    assert [status for status, after in ALLOWED.items() if not after] == [Status.DELETED]


def test_every_status_can_be_reached_and_can_end_in_deleted() -> None:
    for start in Status:
        assert Status.DELETED in reached_from(start) | {start}
    assert reached_from(Status.QUEUED) == set(Status)


def reached_from(start: Status) -> set[Status]:
    found: set[Status] = set()
    edge = {start}
    while edge:
        edge = {after for status in edge for after in ALLOWED[status]} - found
        found |= edge
    return found


def test_every_reason_tells_what_to_do() -> None:
    assert all(next_step(code, Status.ERROR) == text and text.endswith(".") for code, text in NEXT_STEPS.items())
    assert next_step("", Status.QUEUED) == "Building"


def test_the_document_shows_the_table_as_it_is() -> None:
    assert f"```mermaid\n{state_diagram()}\n```" in DOCUMENT.read_text()
