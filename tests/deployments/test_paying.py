"""What instances cost: reserved before the start, charged by the second from the provider's start to its confirmed stop, each second once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from rest_framework.test import APIClient

from billing.metering import meter
from billing.models import GrantSource, Hold, LedgerEntry, MeteredResource, Posting, Wallet
from billing.pricing import credits_text
from controlplane.accounts.models import User
from controlplane.common.errors import PaymentRequired
from deployments.models import Deployment, Replica
from deployments.paying import register_missing
from deployments.reconcile.leaving import STUCK_AFTER
from deployments.reconcile.loop import reconcile
from deployments.services import configure_deployment, delete_deployment, pause_deployment, resume_deployment, update_deployment
from deployments.states import Status
from tests.deployments.builders import deploy, make_workflow, push
from tests.deployments.conftest import Clock
from tests.deployments.paying import HELD, RATE, Settle, charged, fund, standing
from tests.fakes.provider import FakeProvider

pytestmark = pytest.mark.usefixtures("paying")


def test_a_start_reserves_fifteen_minutes_and_seconds_are_charged_from_the_providers_start(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 3600)
    deployment = settle(deploy(owner))
    assert standing(deployment) == (3600 * RATE, HELD)
    began = cloud.billed[cloud.names()[0]]

    moving_clock.now = began + timedelta(seconds=1000.7)
    meter()

    entry = LedgerEntry.objects.get(kind="CHARGE")
    assert (entry.quantity, entry.amount, entry.from_at, entry.to_at) == (1000, 1000 * RATE, began, began + timedelta(seconds=1000))
    assert entry.price is not None
    assert (entry.deployment_id, entry.price.code, entry.price.micro_credits) == (deployment.pk, "AWS CLUSTER M", RATE)
    posting = Posting.objects.get(entry=entry)
    assert posting.grant is not None
    assert posting.grant.source == GrantSource.OPERATOR
    assert standing(deployment) == (2600 * RATE, HELD)


def test_the_confirmed_stop_ends_the_charge_and_frees_what_was_reserved(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 3600)
    deployment = settle(deploy(owner))
    began = cloud.billed[cloud.names()[0]]
    moving_clock.advance(100)
    delete_deployment(actor=owner, deployment_id=deployment.pk)

    deployment = settle(deployment)

    replica = Replica.objects.get()
    assert (deployment.status, replica.status) == (Status.DELETED, "TERMINATED")
    assert replica.billed_until is not None
    seconds = int((replica.billed_until - began).total_seconds())
    assert charged(deployment) == seconds * RATE > 0
    assert standing(deployment)[1] == 0
    assert MeteredResource.objects.get().closed_at is not None


def test_without_credits_nothing_starts_and_the_refusal_says_what_is_missing(
    owner: User, cloud: FakeProvider, api: Callable[..., APIClient]
) -> None:
    fund(owner, 600)
    workflow = make_workflow(owner)

    body = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "M"}
    answer = api(owner).post(f"/v1/workflows/{workflow.pk}/deployments/", body)

    assert answer.status_code == 402
    assert answer.json()["code"] == "no_credits"
    assert answer.json()["fields"] == {"required": HELD, "available": 600 * RATE, "missing": 300 * RATE}
    assert "13.788 credits (15 minutes), and 9.192 are available: 4.596 are missing" in answer.json()["detail"]
    assert not Deployment.objects.exists()
    assert not Hold.objects.exists()
    assert not cloud.names()


def test_a_serverless_deployment_needs_some_credits(owner: User, cloud: FakeProvider) -> None:
    with pytest.raises(PaymentRequired, match="The workspace has no credits"):
        deploy(owner, flavour="SERVERLESS")

    assert not Deployment.objects.exists()


def test_of_many_at_once_as_many_start_as_there_are_credits_for(owner: User, cloud: FakeProvider) -> None:
    fund(owner, 2 * 900 + 10)
    workflow = make_workflow(owner)

    def ask(_: int) -> str:
        try:
            deploy(owner, workflow=workflow)
        except PaymentRequired as refusal:
            return refusal.code
        finally:
            connection.close()
        return "accepted"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))

    assert sorted(set(answers)) == ["accepted", "no_credits"]
    assert answers.count("accepted") == 2 == Deployment.objects.count()
    assert Hold.objects.filter(released_at=None).count() == 2


def test_a_start_that_fails_costs_nothing(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 7200)
    cloud.fail_with = "The workflow cannot be loaded."
    deployment = settle(deploy(owner))
    assert deployment.status == Status.ERROR

    moving_clock.advance(3600)
    meter()

    assert charged(deployment) == 0
    assert standing(deployment) == (7200 * RATE, 0)


def test_an_instance_that_breaks_is_charged_until_then(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 7200)
    deployment = settle(deploy(owner))
    first = cloud.names()[0]
    began = cloud.billed[first]
    moving_clock.advance(300)
    cloud.failing.add(first)
    cloud.looks_until_gone = 50
    broke = moving_clock.now
    reconcile(deployment.pk)
    moving_clock.advance(600)
    meter()

    resource = MeteredResource.objects.get(pk=Replica.objects.get(name=first).pk)
    assert (resource.cut_off, resource.ending_at) == (True, broke)
    entries = LedgerEntry.objects.filter(kind="CHARGE", key__endswith=f":{resource.pk}")
    assert sum(quantity or 0 for quantity in entries.values_list("quantity", flat=True)) == int((broke - began).total_seconds())


def test_a_stuck_instance_costs_nothing_from_the_moment_it_was_to_go(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 36_000)
    deployment = settle(deploy(owner))
    began = cloud.billed[cloud.names()[0]]
    moving_clock.advance(300)
    cloud.looks_until_gone = 10_000
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    for _ in range(90):
        reconcile(deployment.pk)
        moving_clock.advance(15)
        meter()
    replica = Replica.objects.get()
    assert replica.stuck_since is not None
    assert replica.terminating_since is not None
    assert moving_clock.now - replica.terminating_since > STUCK_AFTER

    cloud.leaving[replica.name] = 0
    settle(deployment, longest=3600)

    until = int((replica.terminating_since - began).total_seconds())
    assert charged(deployment) == until * RATE
    assert standing(deployment)[1] == 0


def test_a_pause_frees_what_is_reserved_and_a_resume_needs_it_again(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 1000)
    deployment = settle(deploy(owner))
    moving_clock.advance(300)
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)
    assert (deployment.status, standing(deployment)[1]) == (Status.PAUSED, 0)

    with pytest.raises(PaymentRequired):
        resume_deployment(actor=owner, deployment_id=deployment.pk)

    deployment = settle(deployment)
    assert (deployment.status, deployment.desired_state, standing(deployment)[1]) == (Status.PAUSED, "PAUSED", 0)


def test_an_update_needs_credits_for_both_versions(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 1700)
    workflow = make_workflow(owner)
    deployment = settle(deploy(owner, workflow=workflow))
    push(workflow)

    with pytest.raises(PaymentRequired, match="are reserved for what runs"):
        update_deployment(actor=owner, deployment_id=deployment.pk)

    assert settle(deployment).revision == 1
    fund(owner, 900)
    update_deployment(actor=owner, deployment_id=deployment.pk)
    deployment = settle(deployment)
    assert (deployment.status, deployment.served_revision) == (Status.RUNNING, 2)
    assert standing(deployment)[1] == HELD


def test_replicas_are_added_as_far_as_credits_go(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    fund(owner, 2000)
    deployment = settle(deploy(owner))
    configure_deployment(actor=owner, deployment_id=deployment.pk, min_replicas=3, max_replicas=3)

    deployment = settle(deployment)

    assert len(cloud.names()) == 2
    assert (deployment.status, deployment.reason_code) == (Status.RUNNING, "NO_CREDITS")
    # Callers of the endpoint read it: what the workspace has is none of their business.
    assert deployment.reason_detail == (
        f"Starting an instance reserves {credits_text(HELD)} credits (15 minutes), and the workspace has not that much available."
    )
    assert standing(deployment)[1] == 2 * HELD


def test_instances_from_before_there_was_a_meter_are_charged_from_then_on(
    owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock
) -> None:
    fund(owner, 36_000)
    deployment = settle(deploy(owner))
    opened = moving_clock.now
    Hold.objects.all().delete()
    MeteredResource.objects.all().delete()
    Wallet.objects.update(created_at=opened)
    moving_clock.advance(100)

    assert (register_missing(), register_missing()) == (1, 0)
    meter()

    assert charged(deployment) == 100 * RATE
    pause_deployment(actor=owner, deployment_id=deployment.pk)
    assert settle(deployment).status == Status.PAUSED
    assert MeteredResource.objects.get().closed_at is not None


def test_meters_that_work_at_once_charge_each_second_once(owner: User, cloud: FakeProvider, settle: Settle, moving_clock: Clock) -> None:
    fund(owner, 36_000)
    deployment = settle(deploy(owner))
    began = cloud.billed[cloud.names()[0]]
    moving_clock.now = began + timedelta(seconds=777)

    def work(_: int) -> None:
        meter()
        connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))

    assert charged(deployment) == 777 * RATE
