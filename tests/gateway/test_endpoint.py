"""The endpoint API as the public clients use it, over the wire."""

from __future__ import annotations

import json

import pytest

from tests.gateway.servers import (
    PROJECT,
    Caller,
    GatewayServer,
    Keyring,
    RuntimeServer,
    ValkeyServer,
    read,
    running,
    until,
    usage_events,
    write_route,
)

UNKNOWN_RUN = "01900000-0000-7000-8000-000000000000"


def test_a_run_with_advice_gives_progress_then_results(caller: Caller) -> None:
    accepted = caller.run({"image": "QUJD"})
    assert accepted.status == 200
    assert accepted.json["state"] == "PENDING"
    assert accepted.json["next_poll_in"] == 0
    assert accepted.json["next_poll_long"] is True
    assert accepted.json["results"] is None
    ended = caller.results(accepted.json["uuid"])
    assert ended.status == 200
    assert ended.json["state"] == "SUCCESS"
    assert ended.json["eta"] == [0, 0]
    assert list(ended.json["results"][0]) == ["echo"]


def test_a_run_without_advice_gives_its_plain_id_then_plain_results(caller: Caller) -> None:
    run_id = caller.run({}, advice=False).json
    assert isinstance(run_id, str)
    ended = caller.results(run_id, advice=False)
    assert ended.status == 200
    assert isinstance(ended.json, list)


def test_results_can_be_read_again(caller: Caller) -> None:
    run_id = caller.run({}).json["uuid"]
    assert caller.results(run_id).body == caller.results(run_id).body


def test_a_running_run_answers_202_in_both_modes(caller: Caller, runtime: RuntimeServer) -> None:
    run_id = caller.run({"hold": "a"}).json["uuid"]
    waiting = caller.results(run_id, long=False)
    assert (waiting.status, waiting.json["state"], waiting.json["uuid"]) == (202, "PENDING", run_id)
    plain = caller.results(run_id, long=False, advice=False)
    assert (plain.status, plain.json) == (202, run_id)
    runtime.release("a")
    assert caller.results(run_id).status == 200


def test_a_long_poll_is_answered_when_the_run_ends(caller: Caller, runtime: RuntimeServer) -> None:
    run_id = caller.run({"hold": "b"}).json["uuid"]
    with caller.open("GET", f"/blur/api/results/{run_id}?advice=True&long=True") as waiting:
        runtime.release("b")
        assert read(waiting).json["state"] == "SUCCESS"


def test_a_long_poll_ends_before_the_clients_lose_patience(
    valkey: ValkeyServer, runtime: RuntimeServer, gateway: GatewayServer, keys: Keyring
) -> None:
    brief = GatewayServer(keys.path.parent, valkey, keys, "brief", GATEWAY_LONG_POLL="0.2")
    with running(brief):
        caller = Caller(brief, keys.token())
        run_id = caller.run({"hold": "c"}).json["uuid"]
        assert caller.results(run_id).status == 202
        runtime.release("c")
        assert caller.results(run_id).status == 200


def test_a_caller_that_leaves_a_long_poll_harms_nobody(caller: Caller, runtime: RuntimeServer) -> None:
    run_id = caller.run({"hold": "d"}).json["uuid"]
    caller.open("GET", f"/blur/api/results/{run_id}?long=true").close()
    runtime.release("d")
    assert caller.results(run_id).status == 200


def test_a_failed_run_answers_520_with_the_engines_message(caller: Caller, valkey: ValkeyServer) -> None:
    run_id = caller.run({"fail": "kernel size must be odd"}).json["uuid"]
    failed = caller.results(run_id)
    assert failed.status == 520
    assert failed.json["message"] == "kernel size must be odd"
    assert [event["state"] for event in usage_events(valkey)[run_id]] == ["FAILURE"]


def test_an_ended_run_leaves_one_usage_event(caller: Caller, valkey: ValkeyServer) -> None:
    run_id = caller.run({}).json["uuid"]
    assert caller.results(run_id).status == 200
    (event,) = usage_events(valkey)[run_id]
    assert event.pop("ended_at").isdigit()
    assert event == {
        "run": run_id,
        "deployment": "deployment-blur",
        "workflow": "workflow-1",
        "project": PROJECT,
        "namespace": "namespace-1",
        "product": "AWS SERVERLESS S",
        "state": "SUCCESS",
        "duration_ms": "2",
        "revision": "7",
        "fault": "",
    }


@pytest.mark.parametrize("size", [40_000, 3_000_000])
def test_large_inputs_and_results_pass_unchanged(caller: Caller, size: int) -> None:
    run_id = caller.run({"image": "x" * size}, {"size": size}).json["uuid"]
    assert len(caller.results(run_id).json["results"][0]["data"]) == size


@pytest.mark.parametrize("scope", ["consume storage", "consume storage:read"])
def test_a_token_with_storage_reaches_the_runtime_and_one_without_does_not(
    gateway: GatewayServer, keys: Keyring, runtime: RuntimeServer, scope: str
) -> None:
    with_storage = keys.token(scope=scope)
    first = Caller(gateway, with_storage).run({}).json["uuid"]
    second = Caller(gateway, keys.token(scope="consume")).run({}).json["uuid"]
    tokens = runtime.ask("GET", "/control/tokens")
    assert tokens[first] == with_storage
    assert second not in tokens


def test_the_workflow_is_the_runtimes(caller: Caller) -> None:
    answer = caller.ask("GET", "/blur/workflow")
    assert (answer.status, answer.json["metadata"]["name"]) == (200, "fake")


def test_the_root_of_an_endpoint_tells_how_to_call_it(gateway: GatewayServer) -> None:
    page = Caller(gateway).ask("GET", "/blur/")
    assert page.status == 200
    assert page.json["endpoint"] == "http://blur.endpoints.test"


def test_an_endpoint_is_found_by_its_host_name(caller: Caller) -> None:
    answer = caller.ask("PUT", "/api/run?advice=true", b'{"inputs":[],"outputs":[],"parameters":[]}', host="blur.endpoints.test:8100")
    assert answer.status == 200
    assert caller.ask("GET", "/workflow", host="none.endpoints.test").status == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{not json", 400, "invalid_json"),
        (b"", 400, "invalid_json"),
        (json.dumps({"inputs": [{"refuse": "no task 'blurr'"}]}).encode(), 422, "unknown_task"),
    ],
)
def test_an_unusable_request_is_refused_at_once_and_leaves_no_run(
    caller: Caller, valkey: ValkeyServer, body: bytes, status: int, code: str
) -> None:
    before = usage_events(valkey)
    refused = caller.ask("PUT", "/blur/api/run?advice=true", body)
    assert (refused.status, refused.json["code"]) == (status, code)
    assert refused.json["request_id"] == refused.headers["x-request-id"]
    assert usage_events(valkey) == before


def test_a_full_runtime_refuses_with_a_time_to_come_back(caller: Caller, runtime: RuntimeServer) -> None:
    runtime.ask("PUT", "/control/busy")
    refused = caller.run({})
    runtime.ask("PUT", "/control/ready")
    assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (503, "busy", "1")


def test_a_body_of_another_type_is_refused(caller: Caller) -> None:
    assert caller.ask("PUT", "/blur/api/run", b"a=1", content_type="application/x-www-form-urlencoded").status == 415
    assert caller.ask("PUT", "/blur/api/run", b"{}", content_encoding="gzip").status == 415


def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(caller: Caller) -> None:
    with caller.open("PUT", "/blur/api/run", b"", content_length=str(2**40)) as connection:
        refused = read(connection)
    assert (refused.status, refused.json["code"]) == (413, "body_too_large")


def test_a_streamed_body_over_the_limit_is_refused(valkey: ValkeyServer, gateway: GatewayServer, keys: Keyring) -> None:
    small = GatewayServer(keys.path.parent, valkey, keys, "small", GATEWAY_MAX_BODY="1000")
    with running(small):
        caller = Caller(small, keys.token())
        with caller.open("PUT", "/blur/api/run", b"", content_length="", transfer_encoding="chunked") as connection:
            connection.sendall(b"7d0\r\n" + b"x" * 2000 + b"\r\n")
            assert read(connection).status == 413


def test_payloads_beyond_the_memory_are_refused_as_busy(
    valkey: ValkeyServer, runtime: RuntimeServer, gateway: GatewayServer, keys: Keyring
) -> None:
    tight = GatewayServer(keys.path.parent, valkey, keys, "tight", GATEWAY_PAYLOAD_MEMORY="3000")
    with running(tight):
        caller = Caller(tight, keys.token())
        first = caller.run({"hold": "m", "pad": "x" * 2000})
        assert first.status == 200
        refused = caller.run({"pad": "x" * 2000})
        assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (503, "gateway_full", "1")
        runtime.release("m")
        assert caller.results(first.json["uuid"]).status == 200
        assert caller.run({"pad": "x" * 2000}).status == 200


def test_runs_are_not_found_elsewhere(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    write_route(valkey, runtime, slug="edges")
    run_id = caller.run({}).json["uuid"]
    assert caller.results(run_id).status == 200
    assert caller.results(run_id, slug="edges").status == 404
    assert caller.results(UNKNOWN_RUN).status == 404
    assert caller.run({}, slug="nowhere").json["code"] == "endpoint_unknown"
    assert caller.ask("GET", "/blur/api/other").json["code"] == "path_unknown"
    assert caller.ask("GET", "/").status == 404


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/run"), ("POST", "/api/run"), ("PUT", "/workflow"), ("HEAD", "/workflow"), ("DELETE", "/")]
)
def test_a_wrong_method_is_405(caller: Caller, method: str, path: str) -> None:
    refused = caller.ask(method, f"/blur{path}")
    assert refused.status == 405
    assert "OPTIONS" in refused.headers["allow"]


def test_browsers_may_call_from_anywhere(gateway: GatewayServer) -> None:
    preflight = Caller(gateway).ask("OPTIONS", "/blur/api/run", origin="https://app.example.com")
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    assert Caller(gateway).run({}).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("status", "http", "code"),
    [
        ("PAUSED", 503, "deployment_paused"),
        ("SUSPENDED", 402, "deployment_suspended"),
        ("DELETING", 404, "deployment_deleted"),
        ("BUILDING", 503, "deployment_not_running"),
        ("ERROR", 503, "deployment_not_running"),
    ],
)
def test_a_deployment_that_does_not_run_says_why(caller: Caller, valkey: ValkeyServer, status: str, http: int, code: str) -> None:
    write_route(valkey, slug=status.lower(), status=status, reason={"code": "x", "detail": "Because."})
    refused = caller.run({}, slug=status.lower())
    assert (refused.status, refused.json["code"]) == (http, code)
    assert refused.json["fields"]["status"] == status


@pytest.mark.parametrize(("why", "remedy"), [("NO_CREDITS", "Add credits and resume it."), ("SPEND_CAP", "Raise or remove the cap")])
def test_a_suspended_deployment_says_what_brings_it_back(caller: Caller, valkey: ValkeyServer, why: str, remedy: str) -> None:
    write_route(valkey, slug="suspended", status="SUSPENDED", reason={"code": why, "detail": "Because."})

    refused = caller.run({}, slug="suspended")

    assert refused.status == 402
    assert f"Because. {remedy}" in refused.json["detail"]
    assert ("Add credits" in refused.json["detail"]) == (why == "NO_CREDITS")


@pytest.mark.parametrize(
    ("why", "code", "remedy"),
    [("NO_CREDITS", "no_credits", "Add credits"), ("SPEND_CAP", "spend_cap_reached", "Raise or remove the spend cap")],
)
def test_a_deployment_that_nobody_pays_for_takes_no_runs(
    caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer, why: str, code: str, remedy: str
) -> None:
    write_route(valkey, runtime, slug="unpaid", stop={"code": why, "detail": "Because."})
    before = (runtime.executions(), valkey.client.xlen("sw:usage"))

    refused = caller.run({}, slug="unpaid")

    assert (refused.status, refused.json["code"]) == (402, code)
    assert refused.json["detail"].startswith(f"Because. {remedy}")
    assert (runtime.executions(), valkey.client.xlen("sw:usage")) == before
    write_route(valkey, runtime, slug="unpaid", stop=None)
    until(lambda: caller.run({}, slug="unpaid").status == 200, "the change, long before the cache's 30 s are over", limit=10)


def test_a_failed_update_leaves_the_old_replica_serving(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    write_route(valkey, runtime, slug="failed-update", status="ERROR")
    assert caller.run({}, slug="failed-update").status == 200


def test_a_changed_route_counts_at_once(caller: Caller, valkey: ValkeyServer, runtime: RuntimeServer) -> None:
    write_route(valkey, runtime, slug="moving")
    assert caller.run({}, slug="moving").status == 200
    write_route(valkey, runtime, slug="moving", status="PAUSED")
    until(lambda: caller.run({}, slug="moving").status == 503, "the change, long before the cache's 30 s are over", limit=10)


def test_health_needs_no_token(gateway: GatewayServer) -> None:
    assert Caller(gateway).ask("GET", "/healthz").json == {"status": "ready"}


def test_the_log_has_no_tokens(caller: Caller, gateway: GatewayServer) -> None:
    caller.ask("GET", f"/blur/workflow?token={caller.token}")
    assert gateway.stop() == 0
    text = gateway.text()
    assert '"path":"/blur/workflow"' in text
    assert str(caller.token) not in text
    gateway.start()
