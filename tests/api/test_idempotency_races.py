"""Requests of one key at the same time, owners that die or sleep: the work is done once, and nobody waits for a day."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from rest_framework.test import APIClient

from controlplane.api.idempotency.asking import Asked
from controlplane.api.idempotency.claims import LEASE, claim_key, give_up, keep_reply, renew
from controlplane.api.idempotency.errors import StillWorking
from controlplane.api.idempotency.heartbeat import Heartbeat
from controlplane.api.models import IdempotencyKey, KeyState
from controlplane.common.errors import SlipwayError
from controlplane.projects.models import Project
from deployments.models import Deployment
from tests.api.idempotency import post, projects_url, refusal
from tests.factories import make_project, make_token, make_workflow
from tests.storage.web_process import until

pytestmark = pytest.mark.django_db(transaction=True)
OFFER = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "S"}
ASKED = Asked("user 1 all everywhere", "POST", "/v1/organizations/", "key", ("", "body", "application/json", "0" * 64))


@pytest.fixture(autouse=True)
def no_hints(monkeypatch):
    """Keep hints out of the broker."""
    monkeypatch.setattr("deployments.wakeups.send_task", lambda *_, **__: None)


class InThread(threading.Thread):
    """A call on a connection of its own; `result()` waits for what it returned or refused."""

    def __init__(self, call):
        super().__init__(daemon=True)
        self._call, self._result = call, None
        self.start()

    def run(self):
        try:
            self._result = self._call()
        except SlipwayError as error:
            self._result = error
        finally:
            connection.close()

    def result(self):
        self.join(30)
        assert not self.is_alive()
        return self._result


class Gate:
    """Stands after a function: who has called it waits until `open()`."""

    def __init__(self, monkeypatch, module, name):
        self._passed, self._reached = threading.Event(), threading.Event()
        self._real = getattr(module, name)
        monkeypatch.setattr(module, name, self.__call__)

    def __call__(self, **wanted):
        made = self._real(**wanted)
        if not self._reached.is_set():
            self._reached.set()
            assert self._passed.wait(30)
        return made

    def wait(self):
        assert self._reached.wait(30)

    def open(self):
        self._passed.set()


@pytest.fixture
def gate(monkeypatch):
    """The first deployment that is asked for has its row, and no answer yet."""
    from deployments.api import views

    return Gate(monkeypatch, views, "request_deployment")


@pytest.fixture
def deploy(user):
    """Return a function that asks for a deployment under the key."""
    path, token = f"/v1/workflows/{make_workflow(make_project(user)).pk}/deployments/", make_token(user)

    def call():
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
        return post(client, path, OFFER)

    return call


def at_once(*calls):
    """Run calls in threads that start together; returns what each returned or refused."""
    start = threading.Barrier(len(calls))

    def begin(call):
        start.wait()
        return call()

    return [thread.result() for thread in [InThread(lambda call=call: begin(call)) for call in calls]]


def test_while_one_works_another_is_told_to_come_again_and_then_gets_the_reply(deploy, gate):
    first = InThread(deploy)
    gate.wait()
    second = deploy()
    assert refusal(second) == (409, "idempotency_in_progress")
    assert second["Retry-After"] == "1"
    gate.open()
    made = first.result()
    again = deploy()
    assert (made.status_code, again.content) == (201, made.content)
    assert again["Idempotency-Replayed"] == "true"
    assert Deployment.objects.count() == 1


def test_other_parameters_are_refused_also_while_the_first_works(deploy, gate, monkeypatch):
    first = InThread(deploy)
    gate.wait()
    monkeypatch.setitem(OFFER, "size", "M")
    assert refusal(deploy()) == (422, "idempotency_key_reused")
    gate.open()
    assert first.result().status_code == 201


def test_of_many_at_once_one_works(deploy):
    for _ in range(3):
        answers = at_once(*[deploy] * 6)
        fresh = [answer for answer in answers if answer.status_code == 201 and "Idempotency-Replayed" not in answer]
        others = [answer for answer in answers if answer not in fresh]
        assert len(fresh) == 1
        assert all(answer.status_code == 409 or answer.content == fresh[0].content for answer in others)
        assert Deployment.objects.count() == 1
        Deployment.objects.all().delete()
        IdempotencyKey.objects.all().delete()


def test_an_owner_that_died_blocks_for_its_lease_and_no_longer(clock, deploy):
    claim_key_like(deploy)
    assert refusal(deploy()) == (409, "idempotency_in_progress")
    clock.advance(seconds=LEASE.total_seconds() - 1)
    assert deploy().status_code == 409
    clock.advance(seconds=2)
    assert deploy().status_code == 201
    assert Deployment.objects.count() == 1
    assert deploy()["Idempotency-Replayed"] == "true"


def claim_key_like(call):
    """Leave the row of a request whose process was killed before its work was committed."""
    call()
    Deployment.objects.all().delete()
    IdempotencyKey.objects.update(state=KeyState.WORKING, reply=None)


def test_what_an_owner_did_that_slept_past_its_lease_is_undone(clock, deploy, gate):
    first = InThread(deploy)
    gate.wait()
    owner = IdempotencyKey.objects.get().owner
    clock.advance(seconds=LEASE.total_seconds() + 1)
    second = InThread(deploy)
    until(lambda: IdempotencyKey.objects.get().owner != owner, "another owner")
    gate.open()
    assert refusal(first.result()) == (409, "idempotency_taken_over")
    made = second.result()
    assert made.status_code == 201
    assert [str(row.pk) for row in Deployment.objects.all()] == [made.json()["url"].rstrip("/").rpartition("/")[2]]
    assert deploy().content == made.content


def test_a_lease_is_kept_alive_while_its_owner_works(deploy, gate, monkeypatch):
    for module in ("claims", "guard"):
        monkeypatch.setattr(f"controlplane.api.idempotency.{module}.LEASE", timedelta(seconds=0.6))
    first = InThread(deploy)
    gate.wait()
    claimed = IdempotencyKey.objects.get().leased_until
    until(lambda: IdempotencyKey.objects.get().leased_until > claimed + timedelta(seconds=0.6), "a lease that was renewed more than once")
    assert refusal(deploy()) == (409, "idempotency_in_progress")
    gate.open()
    assert first.result().status_code == 201


def test_a_heartbeat_outlives_a_database_that_is_away_for_a_moment_and_ends_with_the_lease():
    answers = [OperationalError("away"), True, False]
    beats = []

    def beat():
        beats.append(answers.pop(0))
        if isinstance(beats[-1], Exception):
            raise beats[-1]
        return beats[-1]

    with Heartbeat(beat, seconds=0.001) as heart:
        heart._thread.join(30)
    assert len(beats) == 3
    assert not heart._thread.is_alive()


def test_of_many_that_follow_a_dead_owner_one_works(clock):
    for _ in range(5):
        row = claim_key(ASKED).row
        clock.advance(seconds=31)
        results = at_once(*[lambda: claim_key(ASKED)] * 4)
        assert sum(not isinstance(result, StillWorking) for result in results) == 1
        assert not renew(row)
        assert not keep_reply(row, b"late")
        give_up(row)
        IdempotencyKey.objects.get().delete()


def test_who_gave_up_lets_the_next_one_in_at_once():
    give_up(claim_key(ASKED).row)
    assert claim_key(ASKED).is_new


def test_a_refusal_lets_others_in_however_many_there_are(user, monkeypatch):
    make_project(user, "dock")
    token = make_token(user)

    def ask():
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
        return post(client, projects_url(user), {"name": "dock"})

    codes = {refusal(answer)[1] for _ in range(3) for answer in at_once(*[ask] * 4)}
    assert codes <= {"name_taken", "idempotency_in_progress"}
    assert not IdempotencyKey.objects.exists()
    assert Project.objects.filter(name="dock").count() == 1
