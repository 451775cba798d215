"""Places, lanes, and workers that die: committed rows, real threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.db import connection, transaction
from django.db.models import F

from controlplane.common import clock
from controlplane.webhooks import claims
from controlplane.webhooks.claims import claim_turns
from controlplane.webhooks.delivery import deliver_turn
from controlplane.webhooks.models import Delivery, Webhook
from controlplane.webhooks.sender import Sender
from tests.factories import make_project
from tests.webhooks.receiver import Receiver, answers, hangs
from tests.webhooks.sending import deliver, happen

pytestmark = pytest.mark.django_db(transaction=True)
REPOSITORY = Path(__file__).resolve().parents[2]
WORKER = """
import django
django.setup()
from controlplane.webhooks.claims import claim_turns
from controlplane.webhooks.delivery import deliver_turn
for turn in claim_turns(quick=1, slow=1):
    deliver_turn(turn)
"""


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A sender with few places."""
    made = Sender(quick=2, slow=2)
    yield made
    made.stop()
    assert made.await_idle(20)


@pytest.fixture
def dead(sender: Sender) -> Iterator[Receiver]:
    """A receiver that takes everything and never answers; it goes before the sender, which waits for its turns."""
    made = Receiver()
    made.reply = hangs
    yield made
    made.close()


def test_everything_that_is_due_is_sent_without_another_look(project, webhook, receiver, sender):
    happen(project, 3 * claims.TURN)

    assert sender.fill() == 1
    receiver.await_requests(3 * claims.TURN)

    assert sender.await_idle(20)
    assert set(Delivery.objects.values_list("state", "attempts")) == {("DELIVERED", 1)}


def test_a_look_returns_at_once_while_a_receiver_does_not_answer(project, listen, dead, sender):
    listen(dead.url)
    happen(project, 5)

    assert sender.fill() == 1
    dead.await_requests(1)

    assert (sender.fill(), len(dead.received)) == (0, 1)


def test_receivers_that_are_down_do_not_delay_the_others(project, listen, receiver, dead, sender):
    for _ in range(6):
        listen(dead.url)
    alive, _ = listen(receiver.url)
    Webhook.objects.filter(pk=alive.pk).update(slow=False)
    happen(project, 30)
    sender.fill()
    dead.await_requests(2)

    receiver.await_requests(30)

    assert len(dead.received) == 2


def test_one_that_fails_is_not_put_off_by_others_that_do_not(listen, receiver, user):
    """A project with ever new webhooks must not keep another one's failing receiver from being tried again."""
    failing, _ = listen(receiver.url, to=make_project(user, name="failing"))
    others = [listen(receiver.url, to=make_project(user, name=f"new-{number}"))[0] for number in range(3)]
    Webhook.objects.filter(pk=failing.pk).update(failures=7, last_turn_at=clock.now() - timedelta(minutes=10))
    Webhook.objects.exclude(pk=failing.pk).update(last_turn_at=clock.now() - timedelta(minutes=1))
    for one in (failing, *others):
        happen(one.project)

    (turn,) = claim_turns(quick=0, slow=1)

    assert turn.webhook.pk == failing.pk


@pytest.mark.parametrize(("slow", "most"), [(True, claims.PROJECT_SLOW_TURNS), (False, claims.PROJECT_QUICK_TURNS)])
def test_one_project_holds_so_many_places_and_leaves_the_others_to_the_rest(project, listen, receiver, user, slow, most):
    for _ in range(most + 3):
        listen(receiver.url)
    waited_longest = timedelta(hours=1)
    Webhook.objects.update(last_turn_at=clock.now() - waited_longest)
    other, _ = listen(receiver.url, to=make_project(user, name="other"))
    Webhook.objects.filter(pk=other.pk).update(last_turn_at=clock.now())
    Webhook.objects.update(slow=slow)
    happen(project)
    happen(other.project)

    turns = claim_turns(quick=8, slow=8)

    assert [turn.webhook.project_id for turn in turns] == [project.pk] * most + [other.project_id]
    assert claim_turns(quick=8, slow=8) == []
    assert deliver_turn(turns[0]) == 1
    (following,) = claim_turns(quick=8, slow=8)
    assert following.webhook.project_id == project.pk


def test_workers_that_look_at_once_keep_to_the_places_of_a_project(project, listen, receiver):
    for _ in range(10):
        listen(receiver.url)
    happen(project)
    together = threading.Barrier(4)
    found: list[object] = []

    def work() -> None:
        together.wait()
        try:
            found.extend(claim_turns(quick=8, slow=8))
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert 1 <= len(found) <= claims.PROJECT_SLOW_TURNS


def test_a_failing_receiver_is_asked_by_one_worker_at_a_time(project, webhook, receiver):
    happen(project, 3 * claims.TURN)

    assert len(claim_turns(quick=8, slow=8)) == 1
    assert claim_turns(quick=8, slow=8) == []


def test_a_quick_receiver_is_served_by_several_workers(project, webhook):
    Webhook.objects.update(slow=False)
    happen(project, 6 * claims.TURN)
    turns = []
    while claimed := claim_turns(quick=8, slow=8):
        turns += claimed

    assert len(turns) == claims.QUICK_TURNS
    taken = [delivery.pk for turn in turns for delivery in turn.deliveries]
    assert len(set(taken)) == len(taken) == claims.QUICK_TURNS * claims.TURN


def test_a_slow_receiver_becomes_quick_and_back_by_what_it_does(project, webhook, receiver, monkeypatch):
    happen(project)
    deliver()
    assert not Webhook.objects.get().slow
    monkeypatch.setattr("controlplane.webhooks.delivery.SLOW_MS", -1)
    happen(project)
    deliver()

    assert Webhook.objects.get().slow


def test_workers_at_the_same_time_send_each_delivery_once(project, listen, receiver):
    for _ in range(4):
        listen(receiver.url)
    Webhook.objects.update(slow=False)
    happen(project, 50)
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        try:
            deliver()
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    deliver()

    assert len(receiver.received) == 200
    assert set(Delivery.objects.values_list("state", "attempts")) == {("DELIVERED", 1)}


def test_what_another_transaction_holds_is_passed_over(project, webhook, listen, receiver):
    other, _ = listen(receiver.url)
    happen(project)
    found: list[object] = []

    def work() -> None:
        found.extend(turn.webhook.pk for turn in claim_turns(quick=8, slow=8))
        connection.close()

    with transaction.atomic():
        Webhook.objects.select_for_update().get(pk=webhook.pk)
        worker = threading.Thread(target=work)
        worker.start()
        worker.join(20)

    assert found == [other.pk]


def test_a_sender_that_stops_gives_back_what_it_has_not_begun(project, webhook, receiver):
    happen(project, 3)
    (turn,) = claim_turns(quick=1, slow=1)
    stopping = threading.Event()

    def last(handler: object) -> None:
        stopping.set()
        answers(200)(handler)  # type: ignore[arg-type]

    receiver.reply = last
    assert deliver_turn(turn, stopping=stopping) == 1

    assert list(Delivery.objects.order_by("sequence").values_list("state", "attempts", "lease_token")) == [
        ("DELIVERED", 1, None),
        ("PENDING", 0, None),
        ("PENDING", 0, None),
    ]
    assert deliver() == 2


def test_a_worker_that_is_killed_at_a_delivery_loses_nothing(project, webhook, receiver):
    """It is sent again, under the same id, by whoever comes after the lease."""
    receiver.reply = hangs
    happen(project)
    database = django_settings.DATABASES["default"]
    name = connection.settings_dict["NAME"]
    address = f"postgres://{database['USER']}:{quote(database['PASSWORD'])}@{database['HOST']}:{database['PORT']}/{name}"
    environment = {**os.environ, "DATABASE_URL": address, "WEBHOOK_LOOPBACK": "true", "DJANGO_SETTINGS_MODULE": "controlplane.settings"}
    worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=REPOSITORY, env=environment)
    try:
        receiver.await_requests(1)
    finally:
        worker.kill()
        worker.wait()
    assert deliver() == 0
    assert Delivery.objects.get().attempts == 0
    Delivery.objects.update(next_attempt_at=F("next_attempt_at") - claims.LEASE - timedelta(seconds=1))
    receiver.reply = answers(200)

    assert deliver() == 1

    first, second = receiver.received
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
