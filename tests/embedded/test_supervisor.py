"""The supervisor with small programs in place of servers."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.embedded.datadir import DataDir
from controlplane.embedded.errors import StepFailed, StopRequested
from controlplane.embedded.processes import is_alive
from controlplane.embedded.service import Program, Service
from controlplane.embedded.supervisor import LONGEST_DELAY_SECONDS, Supervisor
from controlplane.embedded.waiting import Waiter
from tests.stack import wait_until

SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({path!r}, 'w').close(); time.sleep(600)"
WITH_CHILD = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"


@pytest.fixture
def waiter() -> Generator[Waiter]:
    """A waiter; the signal handlers of the tests come back at the end."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)}
    made = Waiter(None)
    yield made
    made.close()
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def supervisor(tmp_path: Path, waiter: Waiter) -> Generator[Supervisor]:
    """A supervisor whose lines are kept in `lines`."""
    data = DataDir(tmp_path)
    data.logs.mkdir()
    lines: list[str] = []
    made = Supervisor(data, waiter=waiter, say=lines.append)
    made.lines = lines  # type: ignore[attr-defined]
    yield made
    waiter.hurry = True
    made.stop()


def service(name: str, code: str = SLEEP, **more: object) -> Service:
    base = Service(name=name, command=[sys.executable, "-S", "-c", code], environment=dict(os.environ), folder=Path("/"), stop_seconds=5.0)
    return replace(base, **more)  # type: ignore[arg-type]


def lines_of(supervisor: Supervisor) -> list[str]:
    return supervisor.lines  # type: ignore[attr-defined,no-any-return]


def watch_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    """Run the supervisor's loop until the condition holds."""

    def request() -> None:
        wait_until(condition, seconds=20, what="the supervisor's work")
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=request)
    thread.start()
    supervisor.watch()
    thread.join()


def test_services_start_in_order_and_stop_in_reverse(supervisor: Supervisor) -> None:
    supervisor.start([service("first"), service("second")])
    supervisor.start([service("third")])
    pids = [running.process.pid for running in supervisor.running]
    assert [running.service.name for running in supervisor.running] == ["first", "second", "third"]
    supervisor.stop()
    assert [line for line in lines_of(supervisor) if line.startswith("stopping")] == ["stopping third", "stopping second", "stopping first"]
    assert not any(map(is_alive, pids))


def test_a_service_that_dies_is_started_again_later_and_later(supervisor: Supervisor) -> None:
    supervisor.start([service("short", "import time; time.sleep(0.05)")])
    watch_until(supervisor, lambda: sum("starting it again" in line for line in lines_of(supervisor)) >= 3)
    told = [line for line in lines_of(supervisor) if "starting it again" in line][:3]
    assert told == [f"short ended with status 0; starting it again in {delay} s" for delay in (0.1, 0.2, 0.4)]


def test_the_delay_has_an_upper_bound_and_starts_anew_after_a_steady_life(supervisor: Supervisor) -> None:
    supervisor.start([service("one")])
    running = supervisor.running[0]
    running.process.kill()
    running.process.wait()
    for _ in range(10):
        supervisor._plan_restart(running, running.started + 1)
    assert running.delay == LONGEST_DELAY_SECONDS
    supervisor._plan_restart(running, running.started + 11)
    assert running.restart_at == pytest.approx(running.started + 11.1)


def test_a_killed_service_is_named_with_its_signal(supervisor: Supervisor) -> None:
    supervisor.start([service("victim")])
    old = supervisor.running[0].process.pid
    os.kill(old, signal.SIGKILL)
    watch_until(supervisor, lambda: any("answers again" in line for line in lines_of(supervisor)))
    assert "victim was ended by SIGKILL; starting it again in 0.1 s" in lines_of(supervisor)
    assert supervisor.running[0].process.pid != old


def test_what_a_dead_service_leaves_in_its_session_goes_before_the_restart(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor.start([service("parent", WITH_CHILD)])
    log = supervisor.data.logs / "parent.log"
    wait_until(lambda: re.search(r"^\d+$", log.read_text(), re.M), seconds=10, what="the child's pid")
    child = int(log.read_text().splitlines()[-1])
    os.kill(supervisor.running[0].process.pid, signal.SIGKILL)
    alive_at_start: list[bool] = []
    spawn = supervisor._spawn

    def look_and_spawn(program: Program) -> "subprocess.Popen[bytes]":
        alive_at_start.append(is_alive(child))
        return spawn(program)

    monkeypatch.setattr(supervisor, "_spawn", look_and_spawn)
    watch_until(supervisor, lambda: bool(alive_at_start))
    assert alive_at_start[0] is False


def test_what_does_not_end_is_named_once_and_waited_for_ever_longer(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor.start([service("one")])
    running = supervisor.running[0]
    running.process.kill()
    running.process.wait()
    former = running.process.pid
    supervisor._plan_restart(running, 0.0)
    left = [os.getpid() + 10_000_000]
    monkeypatch.setattr("controlplane.embedded.supervisor.session_members", lambda _: list(left))
    looks: list[float] = []
    while len(looks) < 12:
        assert running.restart_at is not None
        looks.append(running.restart_at)
        supervisor._look_after(running, running.restart_at)

    assert running.process.pid == former
    assert looks[-1] - looks[-2] == pytest.approx(LONGEST_DELAY_SECONDS)
    told = [line for line in lines_of(supervisor) if "does not end" in line]
    assert told == [f"one waits for what is left of it and does not end: {left[0]}"]

    left.clear()
    supervisor._look_after(running, running.restart_at or 0.0)
    assert running.process.pid != former


def test_a_service_that_ignores_the_stop_is_killed_in_time(supervisor: Supervisor, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    supervisor.start([service("stubborn", STUBBORN.format(path=str(mark)), probe=lambda _pid: mark.exists(), stop_seconds=0.2)])
    pid = supervisor.running[0].process.pid
    began = time.monotonic()
    supervisor.stop()
    assert not is_alive(pid)
    assert time.monotonic() - began < 3


def test_a_second_request_to_stop_waits_for_nobody(supervisor: Supervisor, waiter: Waiter, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    supervisor.start([service("stubborn", STUBBORN.format(path=str(mark)), probe=lambda _pid: mark.exists(), stop_seconds=60.0)])
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    supervisor.stop()
    assert waiter.hurry


def test_a_service_that_ends_while_it_starts_is_a_failed_step(supervisor: Supervisor) -> None:
    with pytest.raises(StepFailed, match="broken ended with status 3 while it started") as caught:
        supervisor.start([service("broken", "print('no such thing'); raise SystemExit(3)", probe=lambda _pid: False)])
    assert "no such thing" in caught.value.log.read_text()


def test_a_service_that_never_answers_is_a_failed_step(supervisor: Supervisor) -> None:
    with pytest.raises(StepFailed, match="mute did not answer within 0 s"):
        supervisor.start([service("mute", probe=lambda _pid: False, start_seconds=0.1)])


def test_a_step_that_fails_says_so(supervisor: Supervisor) -> None:
    with pytest.raises(StepFailed, match="step ended with status 1"):
        supervisor.run_step(Program(name="step", command=["false"], environment=dict(os.environ), folder=Path("/")))


def test_a_stop_during_a_step_ends_the_step(supervisor: Supervisor) -> None:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(StopRequested):
        supervisor.run_step(Program(name="step", command=["sleep", "600"], environment=dict(os.environ), folder=Path("/")))
    assert not is_alive(max(supervisor._own))
