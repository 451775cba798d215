"""The small parts of the gateway, alone."""

from __future__ import annotations

import asyncio

import pytest

from gateway.answers import CALLERS_OWN, read_outcome
from gateway.background import Background
from gateway.budget import Budget, Shares
from gateway.checks import check_envelope
from gateway.endpoints import Endpoints
from gateway.ends import KEPT_FOR, Ends
from gateway.errors import Busy, InvalidInput, Unprocessable
from gateway.gate import Gate
from gateway.run import About, Outcome, Run, State, Where, read_replica
from gateway.settings import Settings


def made_run(name: str = "r") -> Run:
    about = About("s", "d", "w", "p", "n", "x")
    return Run(id=name, about=about, about_json=b"", body=b"", where=Where.RECORD, digest="", storage_token="", accepted_ms=0)


def outcome(size: int = 1) -> Outcome:
    return Outcome(State.SUCCESS, 0.2, b"x" * size, 0)


class TestEndpoints:
    def test_by_path(self) -> None:
        endpoints = Endpoints("http://127.0.0.1:8100/{slug}")
        assert endpoints.split(b"anything", "/abc/api/run") == ("abc", "/api/run")
        assert endpoints.split(b"anything", "/abc") == ("abc", "/")
        assert endpoints.split(b"anything", "/") is None
        assert endpoints.url("abc") == "http://127.0.0.1:8100/abc"

    def test_by_path_below_a_prefix(self) -> None:
        endpoints = Endpoints("https://example.com/run/{slug}")
        assert endpoints.split(b"example.com", "/run/abc/workflow") == ("abc", "/workflow")
        assert endpoints.split(b"example.com", "/other/abc") is None

    def test_by_host(self) -> None:
        endpoints = Endpoints("https://{slug}.endpoints.example.com")
        assert endpoints.split(b"ABC.endpoints.example.com:443", "/api/run") == ("abc", "/api/run")
        assert endpoints.split(b"abc.endpoints.example.com.evil", "/api/run") == ("api", "/run")
        assert endpoints.split(b"[::1]:8100", "/abc/workflow") == ("abc", "/workflow")

    def test_a_template_needs_a_slug(self) -> None:
        with pytest.raises(ValueError, match="slug"):
            Endpoints("http://127.0.0.1:8100/")


class TestEnds:
    def test_the_oldest_go_when_memory_is_full(self) -> None:
        ends = Ends(100)
        for name in "abc":
            ends.add(made_run(name), outcome(40))
        assert ends.get("a") is None
        assert ends.get("c") is not None

    def test_they_go_after_a_minute(self) -> None:
        now = [0.0]
        ends = Ends(100, clock=lambda: now[0])
        ends.add(made_run("a"), outcome())
        now[0] = KEPT_FOR
        ends.add(made_run("b"), outcome())
        now[0] = KEPT_FOR + 1
        ends.drop_old()
        assert (ends.get("a"), ends.get("b") is None) == (None, False)
        assert [run.id for run, _ in ends.since(4)] == ["b"]


def test_a_budget_refuses_what_does_not_fit_and_takes_back() -> None:
    budget = Budget(100)
    first, second = budget.reserve(), budget.reserve()
    first.grow_to(60)
    first.grow_to(50)
    with pytest.raises(Busy):
        second.grow_to(41)
    first.release()
    first.release()
    second.grow_to(100)
    assert budget.used == 100


def test_what_was_accepted_waits_for_room_and_takes_it_in_order() -> None:
    async def scenario() -> None:
        budget = Budget(100)
        newcomer, *accepted = (budget.reserve() for _ in range(4))
        newcomer.grow_to(90)
        waiting = [asyncio.create_task(one.wait_for(60)) for one in accepted]
        await asyncio.sleep(0)
        newcomer.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, False, False]
        waiting[1].cancel()
        accepted[0].set_to(30)
        await waiting[2]
        assert (budget.used, accepted[1].size) == (90, 0)
        for one in accepted:
            one.release()
        assert budget.used == 0
        await asyncio.wait_for(accepted[0].wait_for(1000), 1)

    asyncio.run(scenario())


def test_what_fails_in_the_background_is_logged_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    async def fail() -> None:
        raise ZeroDivisionError

    async def succeed() -> None:
        await asyncio.sleep(0)
        done.append("work")

    async def scenario() -> None:
        background = Background()
        background.start(fail())
        background.start(succeed())
        await background.finish(10)
        await background.finish(10)

    asyncio.run(scenario())
    assert done == ["work"]
    assert "ZeroDivisionError" in caplog.text


def test_a_gate_lets_through_when_it_opens_and_after_its_limit() -> None:
    async def scenario() -> None:
        gate = Gate()
        assert await gate.wait(0.0) is False
        waiting = asyncio.create_task(gate.wait(20))
        await asyncio.sleep(0)
        gate.open()
        assert await waiting is True
        assert await gate.wait() is True

    asyncio.run(scenario())


@pytest.mark.parametrize("milliseconds", [0.0, 0.2, 1.0])
def test_a_run_is_billed_at_least_a_millisecond(milliseconds: float) -> None:
    assert Outcome(State.SUCCESS, milliseconds, b"", 0).billed_ms == 1


def test_an_unreadable_answer_of_a_runtime_is_a_failure() -> None:
    for answer in (b"", b" {", b'{"state":"NOT_A_STATE"}'):
        assert read_outcome(answer).state is State.FAILURE


def test_an_envelope_is_checked_without_looking_into_it() -> None:
    check_envelope(b'{"inputs":[{"image":"AA"}],"outputs":[]}')
    with pytest.raises(InvalidInput):
        check_envelope(b"{")
    with pytest.raises(Unprocessable):
        check_envelope(b'{"inputs":3}')


def test_a_bad_setting_is_named() -> None:
    with pytest.raises(ValueError, match="GATEWAY_PORT"):
        Settings.from_environment({"GATEWAY_PORT": "many"})


def test_one_share_cannot_take_all() -> None:
    shares = Shares(100)
    assert shares.take("a", 50)
    assert not shares.take("a", 1)
    assert shares.take("b", 25)
    assert shares.take("a", 10, force=True)
    shares.give("a", 60)
    shares.give("b", 25)
    assert shares.used == 0
    assert shares.take("a", 50)


@pytest.mark.parametrize("code", [*sorted(CALLERS_OWN), "task_failed", "engine_crashed", "timeout", "disk_full"])
def test_a_failure_by_the_callers_own_input_is_no_fault(code: str) -> None:
    outcome = read_outcome(b'{"state":"FAILURE","duration_ms":1,"error":{"code":"%b","message":"m"}}' % code.encode())
    assert outcome.fault is (code not in CALLERS_OWN)


@pytest.mark.parametrize("label", ["", "r1", "r1 3 unix:/with a space/s", "r1 0 http://10.0.0.1:80"])
def test_a_record_names_a_replica_so_that_it_can_be_asked_again(label: str) -> None:
    replica = read_replica(label)
    assert (replica.label.strip() if replica else "") == (f"{label} 0" if label == "r1" else label)
