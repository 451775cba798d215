"""The API keeps the word of its own description."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

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
    negative_data_rejection,
]


@pytest.fixture
def described():
    """The description, as the service serves it."""
    return schemathesis.openapi.from_wsgi("/v1/schema/?format=json", application)


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_input_makes_an_operation_break_its_description(case, user):
    object_store().ensure_bucket()
    project = make_project(user, f"p{make_token(user)[-20:]}".replace("_", "x").rstrip("-"))
    workflow = make_workflow(project)
    ours = {"project_id": project.pk, "workflow_id": workflow.pk, "namespace_id": project.namespace_id, "user_id": user.pk}
    for name, value in ours.items():
        if name in (case.path_parameters or {}) and case.operation.method != "delete":
            case.path_parameters[name] = str(value)
    case.call_and_validate(headers={"Authorization": f"Token {make_token(user)}", "Host": "testserver"}, checks=CHECKS)


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
        bodies = [body for answer in found["responses"].values() for body in answer.get("content", {}) if body == "application/json"]
        if not found.get("summary") or (not shown and bodies and method != "delete"):
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
