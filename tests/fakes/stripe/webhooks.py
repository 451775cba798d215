"""The way of events to a receiver: at once, or held and then delivered as a test wants it, wrongly too."""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field

import stripe

from tests.fakes.stripe.account import Json

Send = Callable[[bytes, dict[str, str]], int]


def sender_to(url: str) -> Send:
    """Return a way to a receiver over HTTP; 0 when it does not answer."""

    def send(body: bytes, headers: dict[str, str]) -> int:
        request = urllib.request.Request(url, data=body, headers={**headers, "Content-Type": "application/json"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except OSError:
            return 0

    return send


@dataclass
class Webhooks:
    """One endpoint with its secret. `waiting` is what was not delivered yet, `delivered` what was accepted, `dropped` what never will be."""

    secret: str = "whsec_fake"
    send: Send | None = None
    held: bool = True
    waiting: list[Json] = field(default_factory=list)
    delivered: list[Json] = field(default_factory=list)
    dropped: list[Json] = field(default_factory=list)

    def take(self, event: Json) -> None:
        """Take a new event."""
        self.waiting.append(event)
        if not self.held:
            self.deliver()

    def deliver(self) -> list[int]:
        """Deliver what waits, in its order; what is not accepted goes on waiting. Returns the answers."""
        sending, self.waiting = self.waiting, []
        answers = []
        for event in sending:
            answers.append(self.post(event))
            (self.delivered if 200 <= answers[-1] < 300 else self.waiting).append(event)
        return answers

    def post(self, event: Json, *, secret: str | None = None, age: float = 0.0) -> int:
        """Send one event, signed so many seconds ago; returns the answer's status."""
        if self.send is None:
            return 200
        body = json.dumps(event)
        stamp = int(time.time() - age)
        signature = stripe.WebhookSignature.generate_signature_header(body, secret or self.secret, timestamp=stamp)
        return self.send(body.encode(), {"Stripe-Signature": signature})

    def shuffle(self, chance: random.Random) -> None:
        """Let what waits come in any order."""
        chance.shuffle(self.waiting)

    def duplicate(self, chance: random.Random) -> None:
        """Let some of what waits come twice."""
        self.waiting += [event for event in self.waiting if chance.random() < 0.5]

    def drop(self, wanted: Callable[[Json], bool] = lambda event: True) -> None:
        """Lose what waits."""
        self.dropped += [event for event in self.waiting if wanted(event)]
        self.waiting = [event for event in self.waiting if not wanted(event)]

    def replay(self, wanted: Callable[[Json], bool] = lambda event: True) -> None:
        """Have what was delivered or lost wait again."""
        known = {event["id"]: event for event in [*self.delivered, *self.dropped]}
        self.waiting += [event for event in known.values() if wanted(event)]
