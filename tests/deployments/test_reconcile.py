"""The reconciler on a fake provider: what users ask for comes about, and what serves is never harmed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from controlplane.accounts.models import User
from controlplane.common.errors import Unavailable
from controlplane.common.valkey import valkey
from deployments.models import Bundle, Deployment, LogLine, Replica, StatusChange
from deployments.providers.base import BadCredentials, NoCapacity, ProviderError, ProviderUnavailable, QuotaExceeded
from deployments.reconcile.fleet import START_DEADLINE
from deployments.reconcile.loop import reconcile
from deployments.routing import route_key
from deployments.services import delete_deployment, update_deployment
from deployments.states import ReplicaStatus, Status
from tests.deployments.builders import deploy, make_workflow, push
from tests.deployments.conftest import Clock
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


def route(deployment: Deployment) -> dict[str, Any] | None:
    text = valkey().get(route_key(deployment.slug))
    return json.loads(text) if text else None


def history(deployment: Deployment) -> list[str]:
    return list(StatusChange.objects.filter(deployment=deployment).order_by("created_at", "pk").values_list("after", flat=True))


def statuses(deployment: Deployment) -> dict[int, str]:
    return dict(Replica.objects.filter(deployment=deployment).values_list("revision", "status"))


def test_a_request_comes_to_running_through_building_and_scaling(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))

    assert deployment.status == Status.RUNNING
    assert history(deployment) == ["QUEUED", "BUILDING", "SCALING", "RUNNING"]
    assert (deployment.lease_token, deployment.reason_code, deployment.observed_generation) == (None, "", 1)
    assert deployment.next_check_at is not None
    found = route(deployment)
    assert found is not None
    assert (found["status"], found["tag"], found["product"]) == ("RUNNING", "v1", "AWS CLUSTER M")
    name = f"d{deployment.pk.hex}-r1-1"
    assert found["replicas"] == [{"id": name, "address": f"unix:/run/{name}.sock", "workers": 2, "revision": 1}]
    spec = cloud.specs[name]
    assert (spec.vcpu, spec.ram_mb, spec.bundle) == (8, 16384, Bundle.objects.get().digest)


def test_looking_again_changes_nothing(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    before = (history(deployment), route(deployment), list(cloud.created))

    settle(deployment)

    assert (history(deployment), route(deployment), list(cloud.created)) == before


def test_the_route_table_is_repaired_at_the_next_look(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    before = route(deployment)
    valkey().flushdb()

    reconcile(deployment.pk)

    assert route(deployment) == before


def test_a_replica_that_the_provider_lost_is_replaced_under_another_name(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    cloud.specs.clear()

    settle(deployment)

    assert cloud.created == [f"d{deployment.pk.hex}-r1-1", f"d{deployment.pk.hex}-r1-2"]
    assert deployment.status == Status.RUNNING
    assert history(deployment)[-2:] == ["SCALING", "RUNNING"]
    assert StatusChange.objects.get(after="SCALING", before="RUNNING").reason_code == "REPLICA_LOST"
    assert Replica.objects.get(ordinal=1).failure == "Its provider has it no more."


def test_a_second_deployment_of_a_version_builds_nothing_again(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    workflow = make_workflow(owner)
    settle(deploy(owner, workflow))
    built = Bundle.objects.get().updated_at

    second = settle(deploy(owner, workflow, region="GERMANY"))

    assert second.status == Status.RUNNING
    assert Bundle.objects.get().updated_at == built
    assert LogLine.objects.filter(deployment=second, source="build").exists()


def test_an_update_serves_the_old_version_until_the_new_one_is_ready(
    owner: User, cloud: FakeProvider, moving_clock: Clock, settle: Settle
) -> None:
    deployment = settle(deploy(owner))
    assert deployment.workflow is not None
    push(deployment.workflow)
    cloud.looks_until_ready = 3
    update_deployment(actor=owner, deployment_id=deployment.pk)

    reconcile(deployment.pk)

    deployment.refresh_from_db()
    assert deployment.status == Status.UPDATING
    assert deployment.wanted_version is not None
    assert deployment.wanted_version.tag == "v2"
    found = route(deployment)
    assert found is not None
    assert (found["status"], found["tag"], len(found["replicas"])) == ("UPDATING", "v1", 1)

    settle(deployment)

    assert deployment.status == Status.RUNNING
    assert statuses(deployment) == {1: "TERMINATED", 2: "SERVING"}
    found = route(deployment)
    assert found is not None
    assert (found["tag"], [replica["id"] for replica in found["replicas"]]) == ("v2", [f"d{deployment.pk.hex}-r2-1"])


def test_the_old_replica_goes_only_after_gateways_could_hear_of_the_new_one(
    owner: User, cloud: FakeProvider, moving_clock: Clock, settle: Settle
) -> None:
    deployment = settle(deploy(owner))
    update_deployment(actor=owner, deployment_id=deployment.pk, size="L")
    cloud.looks_until_ready = 0

    reconcile(deployment.pk)

    assert statuses(deployment) == {1: "DRAINING", 2: "SERVING"}
    assert f"d{deployment.pk.hex}-r1-1" in cloud.specs
    moving_clock.advance(1.1)
    settle(deployment)
    assert cloud.deleted == [f"d{deployment.pk.hex}-r1-1"]


def test_a_resize_keeps_the_version_and_charges_the_new_product(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))

    update_deployment(actor=owner, deployment_id=deployment.pk, size="S")
    settle(deployment)

    assert cloud.specs[f"d{deployment.pk.hex}-r2-1"].ram_mb == 8192
    found = route(deployment)
    assert found is not None
    assert (found["tag"], found["product"]) == ("v1", "AWS CLUSTER S")


def test_an_update_that_fails_leaves_the_old_version_serving_and_says_why(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    assert deployment.workflow is not None
    push(deployment.workflow)
    served = route(deployment)
    cloud.failing = {f"d{deployment.pk.hex}-r2-1"}
    update_deployment(actor=owner, deployment_id=deployment.pk, size="L")

    settle(deployment)

    assert deployment.wanted_version is not None
    assert (deployment.status, deployment.reason_code, deployment.reason_detail) == ("RUNNING", "START_FAILED", "told to")
    assert (deployment.wanted_version.tag, deployment.size) == ("v1", "M")
    assert statuses(deployment) == {1: "SERVING", 2: "TERMINATED"}
    found = route(deployment)
    assert found is not None
    assert served is not None
    assert (found["replicas"], found["status"], found["tag"]) == (served["replicas"], "RUNNING", "v1")


def test_an_update_that_cannot_be_built_leaves_the_old_version_serving(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    assert deployment.workflow is not None
    push(deployment.workflow, {"hull/requirements.txt": "-r elsewhere.txt"})
    update_deployment(actor=owner, deployment_id=deployment.pk)

    settle(deployment)

    assert (deployment.status, deployment.reason_code) == ("RUNNING", "BAD_REQUIREMENT")
    assert "elsewhere.txt" in deployment.reason_detail
    assert statuses(deployment) == {1: "SERVING"}


def test_a_newer_wish_in_the_middle_of_an_update_wins(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    cloud.looks_until_ready = 2
    update_deployment(actor=owner, deployment_id=deployment.pk, size="L")
    reconcile(deployment.pk)
    update_deployment(actor=owner, deployment_id=deployment.pk, size="XL")

    settle(deployment)

    assert statuses(deployment) == {1: "TERMINATED", 2: "TERMINATED", 3: "SERVING"}
    assert cloud.names() == [f"d{deployment.pk.hex}-r3-1"]
    assert deployment.size == "XL"


def test_a_wish_that_is_taken_back_in_time_starts_nothing(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    update_deployment(actor=owner, deployment_id=deployment.pk, size="L")
    update_deployment(actor=owner, deployment_id=deployment.pk, size="M")

    settle(deployment)

    assert cloud.created == [f"d{deployment.pk.hex}-r1-1"]
    assert deployment.observed_generation == deployment.generation == 3


def test_a_build_that_fails_ends_in_error_with_plugin_and_requirement(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner, make_workflow(owner, {"hull/requirements.txt": "-r elsewhere.txt"})))

    assert (deployment.status, deployment.reason_code) == ("ERROR", "BAD_REQUIREMENT")
    assert "'hull'" in deployment.reason_detail
    assert "elsewhere.txt" in deployment.reason_detail
    assert cloud.created == []
    assert LogLine.objects.filter(deployment=deployment, source="build", level="ERROR").get().message == deployment.reason_detail


def test_an_update_tries_again_after_an_error(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    cloud.fail_with = "out of luck"
    deployment = settle(deploy(owner))
    assert (deployment.status, deployment.reason_code) == ("ERROR", "START_FAILED")
    assert cloud.names() == []
    cloud.fail_with = ""

    update_deployment(actor=owner, deployment_id=deployment.pk)
    settle(deployment)

    assert deployment.status == Status.RUNNING
    assert history(deployment)[-5:] == ["ERROR", "QUEUED", "BUILDING", "SCALING", "RUNNING"]


@pytest.mark.parametrize(
    ("refusal", "code"),
    [(NoCapacity("none left"), "NO_CAPACITY"), (QuotaExceeded("2 of 2"), "QUOTA_EXCEEDED"), (BadCredentials("key"), "BAD_CREDENTIALS")],
)
def test_a_refusal_of_the_provider_is_an_error_with_its_code(
    owner: User, cloud: FakeProvider, settle: Settle, refusal: ProviderError, code: str
) -> None:
    cloud.refuse = refusal

    deployment = settle(deploy(owner))

    assert (deployment.status, deployment.reason_code, deployment.reason_detail) == ("ERROR", code, str(refusal))


def test_a_provider_that_does_not_answer_is_waited_for(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    cloud.refuse = ProviderUnavailable("no answer")
    deployment = settle(deploy(owner), longest=1.0)
    assert (deployment.status, deployment.reason_code) == ("SCALING", "PROVIDER_UNAVAILABLE")
    cloud.refuse = None

    settle(deployment)

    assert (deployment.status, deployment.reason_code) == ("RUNNING", "")


def test_a_provider_that_goes_away_does_not_touch_what_runs(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    before = route(deployment)
    cloud.refuse = ProviderUnavailable("no answer")

    settle(deployment)

    assert (deployment.status, route(deployment)) == ("RUNNING", before)


def test_an_object_store_that_does_not_answer_is_waited_for(
    owner: User, cloud: FakeProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = deploy(owner)

    def down(*_: object) -> None:
        raise Unavailable("object_store", "The object store does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr("deployments.bundles.build.open_archive", down)
        settle(deployment, longest=1.0)
        settle(deployment, longest=1.0)
    assert (deployment.status, deployment.reason_code) == ("BUILDING", "OBJECT_STORE_DOWN")

    settle(deployment)

    assert deployment.status == Status.RUNNING


def test_a_replica_that_is_never_ready_ends_in_error(owner: User, cloud: FakeProvider, moving_clock: Clock, settle: Settle) -> None:
    cloud.looks_until_ready = 10**9
    deployment = deploy(owner)
    for _ in range(2):
        reconcile(deployment.pk)
    Replica.objects.update(begun_at=moving_clock.now)
    moving_clock.advance((START_DEADLINE + timedelta(seconds=1)).total_seconds())

    settle(deployment)

    assert (deployment.status, deployment.reason_code) == ("ERROR", "START_TIMEOUT")
    assert cloud.names() == []


def test_a_serving_replica_that_failed_for_good_is_an_error(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    cloud.fail_with = "its bundle is damaged"

    settle(deployment)

    assert (deployment.status, deployment.reason_code) == ("ERROR", "START_FAILED")
    found = route(deployment)
    assert found is not None
    assert (found["replicas"], found["reason"]["code"]) == ([], "START_FAILED")


def test_a_deletion_closes_the_endpoint_first_and_ends_when_the_provider_confirms(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    cloud.looks_until_gone = 2
    delete_deployment(actor=owner, deployment_id=deployment.pk)

    reconcile(deployment.pk)

    deployment.refresh_from_db()
    assert (deployment.status, route(deployment)) == ("DELETING", None)
    assert statuses(deployment) == {1: ReplicaStatus.TERMINATING}

    settle(deployment)

    assert deployment.status == Status.DELETED
    assert (deployment.workflow, deployment.wanted_version, deployment.next_check_at) == (None, None, None)
    assert statuses(deployment) == {1: "TERMINATED"}
    assert (deployment.workflow_name, deployment.provider) == ("harbour", "AWS")


def test_a_workflow_can_be_deleted_once_its_deployment_is_gone(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    workflow = deployment.workflow
    assert workflow is not None
    delete_deployment(actor=owner, deployment_id=deployment.pk)
    settle(deployment)

    workflow.refresh_from_db()
    workflow.delete()

    assert Deployment.objects.get().status == Status.DELETED


@pytest.mark.parametrize("looks", [0, 1])
def test_a_deletion_wins_at_any_moment(owner: User, cloud: FakeProvider, settle: Settle, looks: int) -> None:
    cloud.looks_until_ready = 5
    deployment = deploy(owner)
    for _ in range(looks):
        reconcile(deployment.pk)

    delete_deployment(actor=owner, deployment_id=deployment.pk)
    settle(deployment)

    assert (deployment.status, cloud.names()) == ("DELETED", [])


def test_a_deletion_waits_for_a_provider_that_does_not_answer(
    owner: User, cloud: FakeProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = settle(deploy(owner))
    delete_deployment(actor=owner, deployment_id=deployment.pk)

    def unavailable(name: str) -> None:
        raise ProviderUnavailable(name)

    with monkeypatch.context() as patch:
        patch.setattr(cloud, "delete_replica", unavailable)
        reconcile(deployment.pk)
    assert statuses(deployment) == {1: "TERMINATING"}

    settle(deployment)

    assert deployment.status == Status.DELETED
