"""The API keeps the word of its own description."""

from __future__ import annotations

import secrets

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from controlplane.accounts.keys import endpoint_token
from controlplane.common.objectstore import object_store
from controlplane.wsgi import application
from tests.factories import make_project, make_token, make_workflow

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
]


def checks_of(case):
    """Return the checks that fit: only a broken body has to be refused (our own ids stand in for broken ones, unknown query words are free)."""
    body = case.meta.generation.mode.is_negative and case.meta.components.get(ParameterLocation.BODY)
    return [*CHECKS, negative_data_rejection] if body and body.mode.is_negative else CHECKS


schema = schemathesis.openapi.from_wsgi("/v1/schema/?format=json", application)


@pytest.fixture(autouse=True)
def one_transaction():
    """Keep the test's transaction over requests, as Django's own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(user):
    """One for all examples of an operation: there are more of those than a person may have tokens."""
    return make_token(user)


@schema.parametrize()
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_input_makes_an_operation_break_its_description(case, user, token):
    object_store().ensure_bucket()
    project = make_project(user, f"p{secrets.token_hex(10)}")
    workflow = make_workflow(project)
    ours = {"project_id": project.pk, "workflow_id": workflow.pk, "namespace_id": project.namespace_id, "user_id": user.pk}
    for name, value in ours.items():
        if name in (case.path_parameters or {}) and case.operation.method != "delete":
            case.path_parameters[name] = str(value)
    credentials = f"Token {token}"
    if "Storage" in (case.operation.tags or ()):
        credentials = f"Bearer {endpoint_token(user=user, project_id=project.pk, storage=True)}"
    case.call_and_validate(headers={"Authorization": credentials, "Host": "testserver"}, checks=checks_of(case))


@pytest.fixture
def document(api, db):
    """The OpenAPI document."""
    return api().get("/v1/schema/?format=json").json()


def operations(document):
    return [(method, path, found) for path, methods in document["paths"].items() for method, found in methods.items()]


def test_it_is_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")


def test_every_operation_says_what_it_does_and_shows_an_example(document):
    without = []
    for method, path, found in operations(document):
        shown = "examples" in str(found.get("requestBody", "")) or "examples" in str(found["responses"])
        speaks_json = any(
            "application/json" in answer.get("content", {}) for status, answer in found["responses"].items() if status < "300"
        )
        if not found.get("summary") or (not shown and speaks_json):
            without.append(f"{method} {path}")
    assert without == []


def test_every_operation_names_the_envelope_of_its_refusals(document):
    for method, path, found in operations(document):
        refusal = found["responses"]["400"]["content"]["application/json"]["schema"]
        assert refusal == {"$ref": "#/components/schemas/Error"}, f"{method} {path}"


def test_the_page_at_docs_needs_no_other_host(api, db):
    page = api().get("/docs/").content.decode()
    assert "swagger" in page.lower()
    assert "//cdn" not in page
    assert "https://" not in page
