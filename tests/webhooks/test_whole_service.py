"""At the running service: a person adds a webhook, deploys, and hears of it."""

from __future__ import annotations

import json
import secrets

import httpx
import pytest

from tests.stack import Stack
from tests.webhooks.receiver import Receiver, hangs, is_signed

pytestmark = pytest.mark.stack
PASSWORD = "a long walk by the quay"
OFFER = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "S"}


def signed_up(url: str) -> httpx.Client:
    """A client with a token of a new person."""
    name = f"listener-{secrets.token_hex(4)}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    httpx.post(f"{url}/v1/accounts/signup/", json=body).raise_for_status()
    token = httpx.post(f"{url}/v1/users/me/tokens/", json={"name": "test", "ttl": 600}, auth=(name, PASSWORD)).raise_for_status().json()
    return httpx.Client(base_url=url, headers={"Authorization": f"Token {token['clear_token']}"}, timeout=30)


def test_a_person_hears_of_a_deployment_while_another_receiver_is_down(stack: Stack, receiver: Receiver) -> None:
    down = Receiver()
    down.reply = hangs
    with signed_up(stack.url) as client:
        project = client.get("/v1/projects/").json()["results"][0]["url"]
        events = ["deployment.created", "deployment.status_changed", "deployment.deleted"]
        answers = [client.post(f"{project}webhooks/", json={"target_url": each.url, "events": events}) for each in (down, receiver)]
        secret = answers[-1].raise_for_status().json()["secret"]
        workflow = client.get(f"{project}workflows/").json()["results"][0]["url"]
        deployment = client.post(f"{workflow}deployments/", json=OFFER).raise_for_status().json()
        receiver.await_requests(2)
        client.delete(deployment["url"]).raise_for_status()
        try:
            told: list[str] = []
            while not any(kind == "deployment.deleted" for kind in told):
                receiver.await_requests(len(told) + 1)
                told = [json.loads(request.body)["type"] for request in receiver.received]
        finally:
            down.close()

    assert told[:2] == ["deployment.created", "deployment.status_changed"]
    assert all(is_signed(request, secret) for request in receiver.received)
    assert json.loads(receiver.received[0].body)["data"]["endpoint"] == deployment["endpoint"]
    assert len({request.headers["webhook-id"] for request in receiver.received}) == len(receiver.received)
