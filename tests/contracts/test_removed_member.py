"""Who is removed from an organization loses its endpoints within five seconds, also with an endpoint token in hand."""

from __future__ import annotations

import base64
import secrets
import time

import pytest

from tests.contracts.endpoint import EndpointCaller
from tests.contracts.person import Person
from tests.contracts.workflows import only_blur
from tests.pictures import COINS
from tests.stack import wait_until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150)]
ALLOWED_S = 5.0
PROJECT = "shared"


@pytest.fixture(scope="module")
def organization(person):
    name = f"harbour-{secrets.token_hex(4)}"
    person.must("organization", "add", name)
    person.must("project", "add", name, PROJECT)
    return name


@pytest.fixture(scope="module")
def endpoint(person, organization):
    person.must("project", "push", PROJECT, "--path", organization, str(person.save(only_blur())))
    project = person.one("/v1/projects/", name=PROJECT, namespace=organization)
    workflow = person.one(project["url"] + "workflows/")
    offer = {"provider": "AWS", "region": "FRANCE", "flavour": "SERVERLESS", "size": "S"}
    made = person.send("POST", workflow["url"] + "deployments/", offer)
    wait_until(lambda: person.get(made["url"])["status"] == "RUNNING", seconds=90, what="the deployment", pause=0.05)
    return made["endpoint"]


@pytest.fixture
def colleague(stack, tmp_path):
    return Person(stack.url, tmp_path, "noor")


def token(person, endpoint):
    return person.get("/v1/projects/jwt/", endpoint=endpoint)["id_token"]


def body():
    return {"inputs": [{"image": base64.b64encode(COINS.read_bytes()).decode()}], "outputs": [{"task_name": "ocv_blur"}]} | {
        "parameters": []
    }


def call(caller):
    """The status of one whole run, or of its refusal, with the code that says why."""
    status, answer = caller.call("PUT", "/api/run?advice=true", body())
    if status == 200:
        ended = caller.wait(answer["uuid"])
        status, answer = ended.status, ended.body
    return status, None if status == 200 else answer["code"]


def seconds_until_refused(caller):
    """Call until the endpoint says that access was taken back."""
    started = time.monotonic()
    while (answer := call(caller)) != (403, "access_revoked"):
        assert answer == (200, None)
        assert time.monotonic() - started < ALLOWED_S, "the token still works"
    return time.monotonic() - started


def test_a_removed_member_is_refused_within_five_seconds(person, organization, endpoint, colleague):
    person.must("organization", "member", "add", organization, colleague.username, "MEMBER")
    theirs, ours = EndpointCaller(endpoint, token(colleague, endpoint)), EndpointCaller(endpoint, token(person, endpoint))
    assert call(theirs) == (200, None)
    person.must("organization", "member", "delete", organization, colleague.username, answers="y\n")
    seconds_until_refused(theirs)
    assert call(ours) == (200, None)
    assert colleague.get("/v1/projects/", namespace=organization)["count"] == 0


def test_a_member_who_became_a_partner_is_refused_too(person, organization, endpoint, colleague):
    person.must("organization", "member", "add", organization, colleague.username, "MANAGER")
    theirs = EndpointCaller(endpoint, token(colleague, endpoint))
    assert call(theirs) == (200, None)
    person.must("organization", "member", "add", organization, colleague.username, "MEMBER")
    assert call(theirs) == (200, None)
    person.must("organization", "member", "add", organization, colleague.username, "PARTNER")
    seconds_until_refused(theirs)


def test_a_revoked_api_token_takes_its_endpoint_tokens_along(person, endpoint):
    made = person.send("POST", person.url + "/v1/users/me/tokens/", {"name": "camera", "ttl": 600, "scopes": ["consume", "admin"]})
    full, person.token = person.token, made["clear_token"]
    try:
        theirs = EndpointCaller(endpoint, token(person, endpoint))
    finally:
        person.token = full
    assert call(theirs) == (200, None)
    person.send("DELETE", made["url"])
    seconds_until_refused(theirs)
