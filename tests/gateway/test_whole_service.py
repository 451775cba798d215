"""A gateway beside the control plane: keys and routes come from PostgreSQL, large things go to the object store."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from controlplane.accounts.keys import endpoint_token, rotate_key
from controlplane.accounts.models import User
from controlplane.common.errors import NotFound
from controlplane.common.objectstore import object_store
from deployments.models import Deployment, Replica
from deployments.states import ReplicaStatus, Status
from tests.deployments.builders import deploy, make_owner
from tests.gateway.servers import Caller, GatewayServer, Keyring, Response, RuntimeServer, ValkeyServer, running, until, write_route


class Service:
    """Two gateways with the test database, a deployment that a fake runtime serves, and its owner."""

    def __init__(self, folder: Path) -> None:
        self.owner: User = make_owner()
        self.valkey = ValkeyServer(folder)
        self.runtime = RuntimeServer(folder)
        self.deployment: Deployment = deploy(self.owner)
        Deployment.objects.filter(pk=self.deployment.pk).update(status=Status.RUNNING)
        self.replica = Replica.objects.create(
            deployment=self.deployment,
            name=f"r1-{self.deployment.slug}",
            generation=1,
            address=self.runtime.address,
            workers=2,
            status=ReplicaStatus.SERVING,
            version=self.deployment.wanted_version,
            size="M",
        )
        address = urlsplit(os.environ["DATABASE_URL"])._replace(path="/" + connection.settings_dict["NAME"]).geturl()
        whole = {"GATEWAY_STANDALONE": "", "GATEWAY_JWKS_URL": "", "DATABASE_URL": address, "PUBLIC_URL": settings.PUBLIC_URL}
        unused = Keyring(folder / "unused.json")
        self.first = GatewayServer(folder, self.valkey, unused, "first", **whole)
        self.second = GatewayServer(folder, self.valkey, unused, "second", **whole)

    def caller(self, gateway: GatewayServer) -> Caller:
        assert self.deployment.workflow is not None
        return Caller(gateway, endpoint_token(user=self.owner, project_id=self.deployment.workflow.project_id, storage=True))

    def run(self, *inputs: object) -> str:
        accepted = self.caller(self.first).run(*inputs, slug=self.deployment.slug)
        assert accepted.status == 200, accepted.body
        return str(accepted.json["uuid"])

    def results(self, run_id: str, gateway: GatewayServer | None = None) -> Response:
        return self.caller(gateway or self.first).results(run_id, slug=self.deployment.slug)

    def field(self, run_id: str, name: str) -> bytes | None:
        return self.valkey.client.hget(f"sw:run:{run_id}", name)  # type: ignore[return-value]


@pytest.fixture
def service(transactional_db: None, tmp_path: Path) -> Iterator[Service]:
    object_store().ensure_bucket()
    made = Service(tmp_path)
    with running(made.valkey, made.runtime, made.first):
        yield made


def test_a_deployment_is_found_in_the_database_and_kept_in_the_table(service: Service) -> None:
    run_id = service.run({})
    assert service.results(run_id).status == 200
    assert service.valkey.client.exists(f"sw:route:{service.deployment.slug}")


def test_a_token_of_a_new_key_is_accepted_at_once(service: Service) -> None:
    service.run({})
    rotate_key()
    until(lambda: service.caller(service.first).run({}, slug=service.deployment.slug).status == 200, "the new key to be loaded")


def test_large_results_move_to_the_object_store_together(service: Service) -> None:
    sizes = (100_000, 70_000, 200_000)
    run_ids = [service.run({"size": size}) for size in sizes]
    expected = [service.results(run_id).body for run_id in run_ids]
    for run_id in run_ids:
        until(lambda run_id=run_id: service.field(run_id, "result_kind") == b"object", "the lasting copy")
        service.runtime.ask("PUT", f"/control/forget/{run_id}")
    with running(service.second):
        assert [service.results(run_id, service.second).body for run_id in run_ids] == expected
    assert len({(service.field(run_id, "result") or b"").split()[0] for run_id in run_ids}) < len(run_ids)


def test_a_stopping_gateway_leaves_no_result_behind(service: Service) -> None:
    run_id = service.run({"size": 100_000})
    expected = service.results(run_id).body
    assert service.first.stop() == 0
    service.runtime.kill()
    with running(service.second):
        assert service.results(run_id, service.second).body == expected


def test_a_large_input_waits_in_the_object_store_when_there_is_no_runtime(service: Service) -> None:
    service.runtime.kill()
    run_id = service.run({"pad": "x" * 2_000_000})
    assert service.field(run_id, "kind") == b"object"
    service.first.kill()
    service.runtime.start()
    with running(service.second):
        while (answer := service.results(run_id, service.second)).status == 202:
            pass
    assert answer.status == 200
    assert service.runtime.executions() == [run_id]


def let_sleep(service: Service, *replicas: RuntimeServer) -> None:
    """Write a route that sleeps, or of these replicas."""
    deployment, slug = service.deployment, service.deployment.slug
    assert deployment.workflow is not None
    whose = {"project": str(deployment.workflow.project_id), "deployment": str(deployment.pk)}
    write_route(service.valkey, *replicas, slug=slug, asleep=not replicas, **whose)


def test_large_inputs_in_the_object_store_take_no_room_while_they_wait_and_come_back_as_far_as_memory_allows(service: Service) -> None:
    assert service.first.stop() == 0
    service.first.environment |= {"GATEWAY_WAITING_MEMORY": "6000000", "GATEWAY_PAYLOAD_MEMORY": "6000000"}
    service.first.start()
    let_sleep(service)
    run_ids = [service.run({"hold": "all", "pad": "x" * 2_000_000}) for _ in range(6)]
    let_sleep(service, service.runtime)
    until(lambda: len(service.runtime.executions()) == 4, "as many as the replica takes")
    service.runtime.release("all")
    assert [service.results(run_id).status for run_id in run_ids] == [200] * 6
    assert Counter(service.runtime.executions()) == Counter(run_ids)
    assert service.run({"pad": "x" * 5_000_000}), "all memory is free again"


def test_an_input_in_the_object_store_outlives_a_runtime_that_died_with_it(service: Service) -> None:
    let_sleep(service)
    run_id = service.run({"hold": "a", "pad": "x" * 2_000_000})
    let_sleep(service, service.runtime)
    until(lambda: service.runtime.executions() == [run_id], "the execution")
    service.runtime.kill()
    service.runtime.start()
    service.runtime.release("a")
    assert service.results(run_id).status == 200
    assert service.runtime.executions() == [run_id] * 2


def test_the_input_of_an_ended_run_is_removed(service: Service) -> None:
    service.runtime.kill()
    run_id = service.run({"pad": "x" * 2_000_000})
    key = f"runs/{run_id}/input"
    assert object_store().exists(key)
    service.runtime.start()
    assert service.results(run_id).status == 200
    until(lambda: not object_store().exists(key), "the removal")
    with pytest.raises(NotFound):
        object_store().get_bytes(key)
