"""Taking back endpoint tokens: what is written, when it is published, and what restores it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import redis
from django.db import OperationalError, transaction

from controlplane.accounts import keys, revocations, selectors, tasks
from controlplane.accounts.models import ApiToken, Revocation, User
from controlplane.accounts.revocations import (
    KEPT,
    KEY,
    MARGIN,
    VERSION_KEY,
    live_revocations,
    restore_set,
    revoke_all_endpoint_access,
    revoke_endpoint_access,
    revoke_issued_by,
)
from controlplane.common.clock import milliseconds
from controlplane.common.ids import uuid7
from controlplane.common.valkey import valkey

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MEMBER, PROJECT, OTHER = uuid7(), uuid7(), uuid7()
SUBJECT = f"u/{MEMBER}/p/{PROJECT}"


class Clock:
    """The time of the room, which the tests move."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def move(self, **time: float) -> None:
        self.moment += timedelta(**time)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Noon, and an empty list in Valkey."""
    made = Clock(NOON)
    monkeypatch.setattr(revocations, "now", made)
    valkey().delete(KEY, VERSION_KEY)
    return made


def published() -> dict[str, int]:
    pairs: Any = valkey().zrange(KEY, 0, -1, withscores=True)
    return {member.decode(): int(score) for member, score in pairs}


@pytest.fixture
def commit(django_capture_on_commit_callbacks):
    """Return a block that ends as a committed transaction."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


def test_who_is_removed_loses_the_tokens_of_these_projects(commit):
    with commit():
        revoke_endpoint_access(user_id=MEMBER, project_ids=[PROJECT, OTHER])
    moment = milliseconds(NOON + MARGIN)
    assert published() == {SUBJECT: moment, f"u/{MEMBER}/p/{OTHER}": moment}
    assert {row.expires_at - row.at for row in Revocation.objects.all()} == {KEPT}


def test_all_tokens_of_a_user_or_of_an_api_token_are_taken_back_at_once(commit):
    with commit():
        revoke_all_endpoint_access(user_id=MEMBER)
        revoke_issued_by(token_id=OTHER)
    assert set(published()) == {f"u/{MEMBER}", f"t/{OTHER}"}


def test_a_removal_that_is_undone_takes_nothing_back(commit):
    with commit(), transaction.atomic():
        revoke_all_endpoint_access(user_id=MEMBER)
        transaction.set_rollback(True)
    assert not Revocation.objects.exists()
    assert published() == {}


def test_nothing_is_published_before_the_commit(commit):
    with commit():
        revoke_all_endpoint_access(user_id=MEMBER)
        assert published() == {}
    assert published()


def test_the_moment_is_that_of_the_commit_so_that_a_token_made_meanwhile_is_void_too(commit, clock):
    with commit():
        revoke_all_endpoint_access(user_id=MEMBER)
        clock.move(seconds=30)
    assert published() == {f"u/{MEMBER}": milliseconds(NOON + timedelta(seconds=30) + MARGIN)}
    assert dict(live_revocations()) == published()


def test_no_projects_no_rows(commit):
    with commit():
        revoke_endpoint_access(user_id=MEMBER, project_ids=[])
    assert not Revocation.objects.exists()
    assert not valkey().exists(VERSION_KEY)


def test_more_than_a_batch_is_published_whole(commit, monkeypatch):
    monkeypatch.setattr(revocations, "BATCH", 7)
    with commit():
        revoke_endpoint_access(user_id=MEMBER, project_ids=[uuid7() for _ in range(30)])
    assert len(published()) == 30
    valkey().delete(KEY, VERSION_KEY)
    assert restore_set() == 30
    assert len(published()) == 30


def test_a_valkey_that_is_away_does_not_stop_the_removal_and_gets_it_later(commit, monkeypatch, caplog):
    with monkeypatch.context() as outage:
        outage.setattr(revocations, "valkey", lambda: redis.Redis(unix_socket_path="/nowhere"))
        with commit():
            revoke_all_endpoint_access(user_id=MEMBER)
        tasks.restore_revocations_task()
    assert "not published" in caplog.text
    assert "next try" in caplog.text
    assert published() == {}
    tasks.restore_revocations_task()
    assert set(published()) == {f"u/{MEMBER}"}


def test_a_valkey_that_lost_everything_is_made_whole_again(commit, caplog):
    with commit():
        revoke_endpoint_access(user_id=MEMBER, project_ids=[PROJECT, OTHER])
    before = published()
    valkey().delete(KEY, VERSION_KEY)
    with caplog.at_level("INFO"):
        tasks.restore_revocations_task()
    assert published() == before
    assert "published 2" in caplog.text


def test_gateways_are_told_only_when_there_is_something_new(commit, clock):
    with commit():
        revoke_all_endpoint_access(user_id=MEMBER)
    version = valkey().get(VERSION_KEY)
    assert restore_set() == 0
    assert valkey().get(VERSION_KEY) == version
    clock.move(seconds=1)
    with commit():
        revoke_all_endpoint_access(user_id=MEMBER)
    assert valkey().get(VERSION_KEY) != version


def test_the_latest_moment_of_a_subject_stands(commit, clock):
    with commit():
        revoke_all_endpoint_access(user_id=MEMBER)
    clock.move(seconds=-60)
    with commit():
        revoke_all_endpoint_access(user_id=MEMBER)
    expected = {f"u/{MEMBER}": milliseconds(NOON + MARGIN)}
    assert published() == expected
    valkey().delete(KEY, VERSION_KEY)
    restore_set()
    assert published() == expected


def test_what_no_token_can_be_about_any_more_is_swept(commit, clock):
    with commit():
        revoke_all_endpoint_access(user_id=MEMBER)
    clock.moment = NOON + MARGIN + KEPT - timedelta(seconds=1)
    restore_set()
    assert len(published()) == Revocation.objects.count() == 1
    clock.move(seconds=2)
    restore_set()
    assert published() == {}
    assert not Revocation.objects.exists()


def test_what_was_committed_while_the_table_was_read_is_not_swept():
    moment = milliseconds(NOON)
    revocations.add_to_set([("u/of-another-transaction", moment)])
    restore_set()
    assert published() == {"u/of-another-transaction": moment}


def test_a_database_that_is_away_waits_for_the_next_turn(monkeypatch, caplog):
    def fail():
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(tasks, "restore_set", fail)
    tasks.restore_revocations_task()
    assert "next try" in caplog.text


def test_an_endpoint_token_tells_when_it_was_made_to_the_millisecond_and_by_which_api_token(monkeypatch):
    moment = NOON.replace(microsecond=123_456)
    monkeypatch.setattr(keys, "now", lambda: moment)
    user = User.objects.create_user("ines", "ines@example.com")
    asked = ApiToken.objects.create(user=user, name="laptop", digest="d", prefix="slw_", expires_at=NOON)
    token = keys.endpoint_token(user=user, project_id=PROJECT, storage=False, issued_by=asked)
    key = selectors.verification_keys()[jwt.get_unverified_header(token)["kid"]]
    told = jwt.decode(token, key, algorithms=["ES256"], options={"verify_exp": False, "verify_iat": False})
    assert told["iat"] == milliseconds(moment) / 1000
    assert told["tok"] == str(asked.pk)
