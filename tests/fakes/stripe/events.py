"""Events: what happened, with the object as it was then."""

from __future__ import annotations

import copy

import stripe

from tests.fakes.stripe.account import Account, Json
from tests.fakes.stripe.forms import Form
from tests.fakes.stripe.pages import page


def emit(account: Account, name: str, thing: Json, **previous: object) -> Json:
    """Keep an event and hand it to whoever delivers webhooks."""
    data: Json = {"object": copy.deepcopy(thing)}
    if previous:
        data["previous_attributes"] = previous
    event = account.make(
        "evt",
        {
            "api_version": stripe.api_version,
            "data": data,
            "pending_webhooks": 1,
            "request": dict(account.answering),
            "type": name,
        },
    )
    account.on_event(event)
    return event


def retrieve_event(account: Account, form: Form, name: str) -> Json:
    """GET /v1/events/{id}."""
    return account.get("event", name)


def list_events(account: Account, form: Form) -> Json:
    """GET /v1/events."""
    wanted = set(form.get("types", [])) | ({form["type"]} if "type" in form else set())
    since = int(form.get("created", {}).get("gte", 0))
    found = [event for event in account.all("event") if (not wanted or event["type"] in wanted) and event["created"] >= since]
    return page("/v1/events", found, form)
