"""Stripe on loopback: the API over HTTP for the real SDK, pay pages, a clock, webhooks, and faults."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe

from tests.fakes.stripe import checkout, subscriptions
from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.faults import Faults
from tests.fakes.stripe.forms import Form, read_form
from tests.fakes.stripe.idempotency import Answers
from tests.fakes.stripe.pages import expanded
from tests.fakes.stripe.refusals import Refused
from tests.fakes.stripe.routes import answer
from tests.fakes.stripe.webhooks import Webhooks

SECRET_KEY = "sk_test_fake"


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    text: str
    headers: dict[str, str]

    @property
    def form(self) -> Form:
        """Its parameters."""
        return read_form(self.text)

    @property
    def key(self) -> str | None:
        """Its idempotency key."""
        return self.headers.get("idempotency-key")


@dataclass
class FakeStripe:
    """An account that one secret key opens. `requests` are what was asked, refused or not."""

    account: Account = field(default_factory=Account)
    webhooks: Webhooks = field(default_factory=Webhooks)
    faults: Faults = field(default_factory=Faults)
    answers: Answers = field(default_factory=Answers)
    requests: list[Asked] = field(default_factory=list)
    secret_key: str = SECRET_KEY

    def __post_init__(self) -> None:
        self.account.on_event = self.webhooks.take

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.account.url

    def advance_to(self, moment: datetime) -> None:
        """Move the clock; renewals, retries and ends on the way happen."""
        self.account.advance_to(int(moment.timestamp()))

    def advance(self, *, days: float = 0, hours: float = 0) -> None:
        """Move the clock by so much."""
        self.account.advance_to(self.account.now + int(days * 86_400 + hours * 3600))

    def pay(self, url: str) -> Json:
        """Pay on the page of a checkout session; raises Refused when the card does not pay."""
        assert url.startswith(f"{self.url}/pay/"), url
        with self.account.lock:
            return checkout.pay(self.account, url.rpartition("/")[2])

    def cancel_in_portal(self, subscription: str) -> None:
        """Cancel a subscription as its customer does in the portal."""
        with self.account.lock:
            subscriptions.leave_in_portal(self.account, subscription)

    def let_card_fail(self, customer: str, failing: bool = True) -> None:
        """Let a customer's card pay no more, or again."""
        (self.account.failing.add if failing else self.account.failing.discard)(customer)

    def answer(self, asked: Asked) -> tuple[int, bytes, dict[str, str]]:
        """Return status, body and headers."""
        with self.account.lock:
            self.requests.append(asked)
            number = f"req_{len(self.requests):08d}"
            try:
                self.check(asked)
                return self.answer_once(asked, number)
            except Refused as refused:
                return refused.status, json.dumps(refused.content).encode(), {"Request-Id": number}

    def check(self, asked: Asked) -> None:
        """Refuse a wrong key, and a version of the API that this fake does not speak."""
        scheme, _, word = asked.headers.get("authorization", "").partition(" ")
        given = base64.b64decode(word).decode().partition(":")[0] if scheme == "Basic" else word
        if given != self.secret_key:
            raise Refused(401, "invalid_request_error", f"Invalid API Key provided: {given[:8]}****")
        if asked.headers.get("stripe-version") != stripe.api_version:
            raise Refused(400, "invalid_request_error", f"Invalid Stripe API version: this fake speaks {stripe.api_version}.")

    def answer_once(self, asked: Asked, number: str) -> tuple[int, bytes, dict[str, str]]:
        """Answer as before when the request's key was here before."""
        key = asked.key if asked.method == "POST" else None
        request = (asked.method, asked.path, asked.text)
        headers = {"Request-Id": number, **({"Idempotency-Key": key} if key else {})}
        if kept := self.answers.find(key, request, self.account.now):
            return kept.status, kept.body, {**headers, "Idempotent-Replayed": "true"}
        status, content = self.act(asked, number)
        body = json.dumps(content).encode()
        self.answers.keep(key, request, status, body, self.account.now)
        return status, body, headers

    def act(self, asked: Asked, number: str) -> tuple[int, Json]:
        """Do what is asked for."""
        self.account.answering = {"id": number, "idempotency_key": asked.key}
        try:
            done = answer(self.account, asked.method, asked.path, asked.form)
            return 200, expanded(self.account, done, asked.form)
        except Refused as refused:
            return refused.status, refused.content
        finally:
            self.account.answering = {"id": None, "idempotency_key": None}


class Gone(Exception):
    """The connection is closed without an answer."""


def with_faults(fake: FakeStripe, asked: Asked) -> tuple[int, bytes, dict[str, str]]:
    """Answer, unless a fault was planned for this request; raises Gone when nothing is to be said."""
    fault = fake.faults.take(asked.method, asked.path)
    if fault is None:
        return fake.answer(asked)
    if fault.after:
        fake.answer(asked)
    else:
        fake.requests.append(asked)
    fake.faults.wait(fault)
    if fault.status is None:
        raise Gone
    kind = "invalid_request_error" if fault.status == 429 else "api_error"
    content = {"error": {"type": kind, "message": "Something went wrong.", **({"code": "rate_limit"} if fault.status == 429 else {})}}
    body = json.dumps(content).encode()
    if fault.after:  # As Stripe does: the key answers with the error from now on, though it was done.
        fake.answers.keep(asked.key, (asked.method, asked.path, asked.text), fault.status, body, fake.account.now)
    return fault.status, body, {"Request-Id": "req_fault"}


def handler_of(fake: FakeStripe) -> type[BaseHTTPRequestHandler]:
    """The HTTP side."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # Head and body in one packet.

        def do_GET(self) -> None:
            self.reply()

        def do_POST(self) -> None:
            self.reply()

        def do_DELETE(self) -> None:
            self.reply()

        def reply(self) -> None:
            path, _, query = self.path.partition("?")
            text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode() or query
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                status, body, more = with_faults(fake, Asked(self.command, path, text, headers))
                self.say(status, body, more)
            except (Gone, ConnectionError):
                self.close_connection = True

        def say(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def running_stripe() -> Generator[FakeStripe]:
    """A Stripe that answers until the end of the block."""
    fake = FakeStripe()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(fake)) as listener:
        fake.account.url = f"http://127.0.0.1:{listener.server_address[1]}"
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield fake
        finally:
            fake.faults.released.set()
            listener.shutdown()
            thread.join()
