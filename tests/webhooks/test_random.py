"""Whatever receivers do and whenever workers die: what happened arrives."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from controlplane.webhooks import delivery
from controlplane.webhooks.claims import claim_turns, give_back
from controlplane.webhooks.delivery import deliver_turn
from controlplane.webhooks.models import Delivery, Webhook
from controlplane.webhooks.schedule import MOST_ATTEMPTS
from tests.webhooks.receiver import Handler, answers, closes
from tests.webhooks.sending import happen

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """The worker is gone: nothing after this is written."""


def die_now_and_then(monkeypatch: pytest.MonkeyPatch, chance: random.Random) -> None:
    """Kill the worker before, or after, it writes down what came of an attempt; it gives nothing back then."""
    alive = True

    def mortal(name: str, likely: float) -> None:
        keep = getattr(delivery, name)

        def kept(*words: object) -> bool:
            nonlocal alive
            alive = True
            moment = chance.random()
            result = False if moment < likely else keep(*words)
            if moment < 2 * likely:
                alive = False
                raise Killed
            return bool(result)

        monkeypatch.setattr(delivery, name, kept)

    monkeypatch.setattr(delivery, "give_back", lambda turn: give_back(turn) if alive else None)
    mortal("keep_success", 0.05)
    mortal("keep_failure", 0.1)


@pytest.mark.parametrize("seed", range(2))
def test_everything_arrives_at_least_once_and_is_written_down_so(project, listen, receiver, moving_clock, monkeypatch, seed):
    chance = random.Random(seed)
    accepted: Counter[str] = Counter()

    def reply(handler: Handler) -> None:
        fate = chance.choice([answers(200), answers(200), answers(204), answers(500), answers(429, Retry_After="30"), closes])
        fate(handler)
        if fate is not closes and handler.server.last_status < 300:
            accepted[handler.server.received[-1].headers["webhook-id"]] += 1

    receiver.reply = reply
    for _ in range(2):
        listen(receiver.url)
    happen(project, 12)
    with monkeypatch.context() as patch:
        die_now_and_then(patch, chance)
        for _ in range(2000):
            turns = claim_turns(quick=chance.randint(0, 2), slow=chance.randint(0, 2))
            for turn in turns:
                try:
                    deliver_turn(turn)
                except Killed:
                    continue
            if not turns:
                moving_clock.advance(seconds=chance.choice([5, 60, 600]))
            if not Delivery.objects.filter(state="PENDING").exists():
                break

    rows = Delivery.objects.all()
    assert {row.state for row in rows} == {"DELIVERED"}
    assert all(row.attempts <= MOST_ATTEMPTS and row.lease_token is None for row in rows)
    assert Webhook.objects.filter(active=True).count() == 2
    assert all(accepted[str(row.event_id)] >= 2 for row in rows)  # two webhooks
    bodies = {(request.headers["webhook-id"], json.loads(request.body)["sequence"]): request.body for request in receiver.received}
    assert all(bodies[request.headers["webhook-id"], json.loads(request.body)["sequence"]] == request.body for request in receiver.received)
    assert len(bodies) == 24
