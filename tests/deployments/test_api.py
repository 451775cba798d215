"""The API of deployments, as the clients use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from controlplane.accounts.models import User
from controlplane.projects.models import Workflow
from controlplane.workspaces.models import Visibility
from deployments.logs import NewLine, append_lines
from deployments.models import Bundle, Deployment, StatusChange
from deployments.states import DesiredState
from tests.deployments.builders import deploy, make_owner, make_workflow, push
from tests.fakes.provider import FakeProvider

BODY = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "M"}
Api = Callable[..., APIClient]
Settle = Callable[..., Deployment]


@pytest.fixture
def workflow(owner: User, cloud: FakeProvider) -> Workflow:
    return make_workflow(owner)


def deployments_of(workflow: Workflow) -> str:
    return f"/v1/workflows/{workflow.pk}/deployments/"


def test_offers_are_listed_with_prices_and_what_cannot_be_had(api: Api, owner: User) -> None:
    rows = api(owner).get("/v1/offers/").json()

    assert len(rows) == 34
    assert rows[0]["price"] == {"micro_credits": 829, "unit": "ms", "credits_per_second": "0.829"}
    assert [row["product"] for row in rows if not row["available"]] == ["SCALEWAY GPU XS"]
    assert {row["backend"] for row in rows} == {"local"}


def test_a_deployment_is_answered_at_once_with_its_endpoint(api: Api, owner: User, workflow: Workflow, no_wakeups: list[object]) -> None:
    answer = api(owner).post(deployments_of(workflow), BODY)

    assert answer.status_code == 201
    found = answer.json()
    deployment = Deployment.objects.get()
    assert found["url"] == f"http://testserver/v1/deployments/{deployment.pk}/"
    assert (found["status"], found["tag"], found["outdated"], found["backend"]) == ("QUEUED", "v1", False, "local")
    assert deployment.slug in found["endpoint"]
    assert found["reason"] == {"code": "", "detail": "Accepted; work starts in a moment.", "next": "Building"}
    assert no_wakeups == [deployment.pk]
    assert StatusChange.objects.get().after == "QUEUED"


def test_the_image_of_what_was_built_is_shown(api: Api, owner: User, workflow: Workflow) -> None:
    url = api(owner).post(deployments_of(workflow), BODY).json()["url"]
    assert api(owner).get(url).json()["image"] == ""
    image = "registry.example.com/team/slipway/bundles@sha256:12"
    assert workflow.current is not None
    Bundle.objects.create(version=workflow.current, digest="ab", base="ikomia", image=image)

    found = api(owner).get(url).json()

    assert (found["image"], found["base"]) == (image, {"name": "ikomia", "note": ""})


def test_the_default_size_is_m_and_scaleway_has_two_names(api: Api, owner: User, workflow: Workflow) -> None:
    body = {"provider": "SCALEWAY_VIA_SCALEDYNAMICS", "region": "FRANCE", "flavour": "CLUSTER"}

    found = api(owner).post(deployments_of(workflow), body).json()

    assert (found["provider"], found["size"]) == ("SCALEWAY", "M")


@pytest.mark.parametrize(
    ("change", "field"), [({"region": "NETHERLANDS"}, "region"), ({"size": "XXL"}, "size"), ({"provider": "AZURE"}, "provider")]
)
def test_a_wish_that_cannot_be_is_refused_and_nothing_happens(
    api: Api, owner: User, workflow: Workflow, change: dict[str, str], field: str
) -> None:
    answer = api(owner).post(deployments_of(workflow), {**BODY, **change})

    assert answer.status_code == 400
    assert set(answer.json()["fields"]) == {field}
    assert not Deployment.objects.exists()


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3),
        ("?provider=AWS", 2),
        ("?provider=SCALEWAY_VIA_SCALEDYNAMICS", 1),
        ("?region=GERMANY", 1),
        ("?flavour=GPU&provider=AWS", 1),
        ("?provider=AZURE", 0),
        ("?region=%00", 0),
    ],
)
def test_the_list_is_narrowed_exactly(api: Api, owner: User, workflow: Workflow, query: str, count: int) -> None:
    deploy(owner, workflow)
    deploy(owner, workflow, flavour="GPU", region="GERMANY")
    deploy(owner, workflow, provider="SCALEWAY")

    page = api(owner).get(deployments_of(workflow) + query).json()

    assert (page["count"], len(page["results"])) == (count, count)


def test_the_object_can_be_sent_back_whole_and_gets_the_newest_version(api: Api, owner: User, workflow: Workflow, settle: Settle) -> None:
    settle(deploy(owner, workflow))
    push(workflow)
    (row,) = api(owner).get(deployments_of(workflow)).json()["results"]
    assert (row["tag"], row["outdated"]) == ("v1", True)

    answer = api(owner).put(row["url"], {name: value for name, value in {**row, "size": "L"}.items() if value is not None})

    assert answer.status_code == 200
    (row,) = api(owner).get(deployments_of(workflow)).json()["results"]
    assert (row["tag"], row["size"], row["outdated"], row["provider"]) == ("v2", "L", False, "AWS")


def test_sending_back_what_is_already_so_changes_nothing(api: Api, owner: User, workflow: Workflow, settle: Settle) -> None:
    deployment = settle(deploy(owner, workflow))
    client = api(owner)
    row = client.get(f"/v1/deployments/{deployment.pk}/").json()

    assert client.put(row["url"], row).json() == row

    deployment.refresh_from_db()
    assert deployment.generation == 1


def test_a_size_that_the_region_does_not_have_is_refused(api: Api, owner: User, workflow: Workflow) -> None:
    deployment = deploy(owner, workflow, flavour="GPU", size="S")

    answer = api(owner).put(f"/v1/deployments/{deployment.pk}/", {"size": "XL"})

    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_offer")
    deployment.refresh_from_db()
    assert (deployment.size, deployment.generation) == ("S", 1)


def test_a_running_deployment_shows_its_isolation(api: Api, owner: User, workflow: Workflow, settle: Settle) -> None:
    deployment = settle(deploy(owner, workflow))

    assert api(owner).get(f"/v1/deployments/{deployment.pk}/").json()["isolation"] == {"sandbox": "fake"}


def test_an_error_tells_its_reason_and_what_to_do(api: Api, owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner, make_workflow(owner, {"hull/requirements.txt": "-r elsewhere.txt"})))

    found = api(owner).get(f"/v1/deployments/{deployment.pk}/").json()

    assert (found["status"], found["reason"]["code"]) == ("ERROR", "BAD_REQUIREMENT")
    assert "elsewhere.txt" in found["reason"]["detail"]
    assert "push again" in found["reason"]["next"]


def test_a_deletion_answers_so_that_clients_can_read_it_and_ends_in_404(api: Api, owner: User, workflow: Workflow, settle: Settle) -> None:
    deployment = settle(deploy(owner, workflow))
    client, url = api(owner), f"/v1/deployments/{deployment.pk}/"

    answer = client.delete(url)

    assert (answer.status_code, answer.content, answer["Content-Type"].split(";")[0]) == (204, b"", "text/plain")
    assert client.delete(url).status_code == 204
    assert client.put(url, {"size": "L"}).status_code == 409
    settle(deployment)
    assert client.get(url).status_code == 404
    assert client.get(deployments_of(workflow)).json()["count"] == 0


def test_a_workflow_with_a_deployment_is_not_deleted(api: Api, owner: User, workflow: Workflow) -> None:
    deploy(owner, workflow)

    answer = api(owner).delete(f"/v1/workflows/{workflow.pk}/")

    assert (answer.status_code, answer.json()["code"]) == (409, "workflow_deployed")
    assert "AWS FRANCE CLUSTER M" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["get", "put", "delete"])
@pytest.mark.parametrize(("visibility", "status"), [(Visibility.PRIVATE, 404), (Visibility.PUBLIC, 403)])
def test_a_stranger_can_do_nothing_with_a_deployment(
    api: Api, owner: User, workflow: Workflow, method: str, visibility: Visibility, status: int
) -> None:
    deployment = deploy(owner, workflow)
    workflow.project.visibility = visibility
    workflow.project.save()

    answer = getattr(api(make_owner()), method)(f"/v1/deployments/{deployment.pk}/", {"size": "L"})

    assert answer.status_code == status
    deployment.refresh_from_db()
    assert (deployment.size, deployment.generation, deployment.desired_state) == ("M", 1, DesiredState.RUNNING)


@pytest.mark.parametrize("visibility", [Visibility.PRIVATE, Visibility.PUBLIC])
def test_a_stranger_reads_no_logs_and_no_usage_and_deploys_nothing(
    api: Api, owner: User, workflow: Workflow, visibility: Visibility
) -> None:
    deployment = deploy(owner, workflow)
    workflow.project.visibility = visibility
    workflow.project.save()
    client = api(make_owner())
    refused = 403 if visibility == Visibility.PUBLIC else 404

    assert client.get(f"/v1/deployments/{deployment.pk}/logs/").status_code == refused
    assert client.get(f"/v1/deployments/{deployment.pk}/usage/").status_code == refused
    assert client.get(deployments_of(workflow)).status_code == refused
    assert client.post(deployments_of(workflow), BODY).status_code == refused
    assert Deployment.objects.count() == 1


def test_nobody_gets_in_without_a_token(api: Api, owner: User, workflow: Workflow) -> None:
    deployment = deploy(owner, workflow)

    for url in ("/v1/offers/", deployments_of(workflow), f"/v1/deployments/{deployment.pk}/"):
        assert api().get(url).status_code == 401


def test_logs_are_read_as_the_client_asks_for_them(api: Api, owner: User, workflow: Workflow) -> None:
    deployment = deploy(owner, workflow)
    run = uuid4()
    with transaction.atomic():
        append_lines(deployment.pk, [NewLine(1000, "INFO", "run ok", "run", run, 12.5), NewLine(2000, "ERROR", "bad", "run")])
    client, url = api(owner), f"/v1/deployments/{deployment.pk}/logs/"

    found: dict[str, Any] = client.get(url, {"limit": 1000}).json()

    ok = {"timestamp": 1000, "level": "INFO", "source": "run", "message": "run ok", "run": str(run), "duration_ms": 12.5}
    bad = {"timestamp": 2000, "level": "ERROR", "source": "run", "message": "bad"}
    assert found == {"logs": [ok, bad], "end": 2000}
    assert client.get(url, {"level": "ERROR", "limit": "5"}).json() == {"logs": [bad], "end": 2000}
    assert client.get(url, {"start": 2001, "limit": 5}).json() == {"logs": [], "end": 2000}
    assert client.get(url, {"start": 0, "end": 1000}).json()["logs"] == [ok]


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "many"}, {"start": "-1"}, {"level": "LOUD"}, {"end": "9" * 30}])
def test_a_log_query_that_makes_no_sense_is_refused(api: Api, owner: User, workflow: Workflow, query: dict[str, Any]) -> None:
    answer = api(owner).get(f"/v1/deployments/{deploy(owner, workflow).pk}/logs/", query)

    assert (answer.status_code, set(answer.json()["fields"])) == (400, set(query))


def test_usage_without_hits_is_an_empty_list(api: Api, owner: User, workflow: Workflow) -> None:
    url = f"/v1/deployments/{deploy(owner, workflow).pk}/usage/"

    assert api(owner).get(url).json() == []
    assert api(owner).get(url, {"from": 1000, "to": 2000}).json() == []
    assert api(owner).get(url, {"from": "x"}).status_code == 400
