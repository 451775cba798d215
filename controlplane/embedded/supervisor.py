"""Starts services in order, restarts those that die, stops all in reverse order. One thread, one loop."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controlplane.embedded.datadir import DataDir
from controlplane.embedded.errors import StepFailed, StopRequested
from controlplane.embedded.processes import collect, ended_child, session_members, signal_all
from controlplane.embedded.service import Program, Service
from controlplane.embedded.spawn import log_path, spawn
from controlplane.embedded.waiting import Waiter

PROBE_EVERY_SECONDS = 0.02
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, STEADY_AFTER_SECONDS = 0.1, 5.0, 10.0
# When the front process was killed nobody waits for a drain any more.
ABANDONED_STOP_SECONDS = 4.0


@dataclass
class Running:
    """A service's present process. `restart_at` is set while it waits for its next start; times are of the monotonic clock.

    `clearing`: how long the next look waits whether the former session is gone.
    """

    service: Service
    process: "subprocess.Popen[bytes]"
    started: float
    delay: float = FIRST_DELAY_SECONDS
    ready: bool = False
    restart_at: float | None = None
    clearing: float = PROBE_EVERY_SECONDS


class Supervisor:
    """`say` prints a line for the person; `changed` is called after each change of the running processes."""

    def __init__(self, data: DataDir, *, waiter: Waiter, say: Callable[[str], None], changed: Callable[[], None] = lambda: None) -> None:
        self.data = data
        self.waiter = waiter
        self.say = say
        self.changed = changed
        self.running: list[Running] = []
        self._own: set[int] = set()

    def start(self, services: Sequence[Service]) -> None:
        """Start a group and wait until each answers. Raises StepFailed, or StopRequested when a stop was asked for meanwhile."""
        began = time.monotonic()
        fresh = []
        for service in services:
            if service.setup:
                service.setup(self.run_step)
            fresh.append(Running(service=service, process=self._spawn(service), started=time.monotonic()))
            self.running.append(fresh[-1])
            self.changed()
        for running in fresh:
            self._await_ready(running)
            self.report(running.service.name, running.service.address, time.monotonic() - began)

    def report(self, name: str, text: str, seconds: float) -> None:
        """One line for a step that is done."""
        self.say(f"  {name:<12}{text:<42}{seconds:6.2f} s")

    def _await_ready(self, running: Running) -> None:
        service, deadline = running.service, running.started + running.service.start_seconds
        while not service.probe(running.process.pid):
            self._wait(PROBE_EVERY_SECONDS)
            if running.process.poll() is not None:
                raise StepFailed(f"{service.name} {ending(running.process)} while it started.", log_path(self.data.logs, service.name))
            if time.monotonic() > deadline:
                raise StepFailed(
                    f"{service.name} did not answer within {service.start_seconds:.0f} s.", log_path(self.data.logs, service.name)
                )
        running.ready = True

    def _wait(self, seconds: float) -> None:
        self.waiter.wait(seconds)
        self._collect_orphans()
        if self.waiter.stop_requested:
            raise StopRequested

    def _spawn(self, program: Program) -> "subprocess.Popen[bytes]":
        process = spawn(program, self.data.logs)
        self._own.add(process.pid)
        return process

    def run_step(self, program: Program) -> None:
        """Run a program to its end. Raises StepFailed when it fails, StopRequested when a stop was asked for (it is ended then)."""
        process = self._spawn(program)
        try:
            while process.poll() is None:
                self._wait(1.0)
        finally:
            self._end(process, signal.SIGTERM, seconds=5.0)
        if process.returncode != 0:
            raise StepFailed(f"{program.name} {ending(process)}.", log_path(self.data.logs, program.name))

    def watch(self) -> None:
        """Keep everything running until a stop is asked for."""
        while not self.waiter.stop_requested:
            now = time.monotonic()
            for running in self.running:
                self._look_after(running, now)
            self.waiter.wait(self._next_look(time.monotonic()))
            self._collect_orphans()

    def _next_look(self, now: float) -> float:
        """Seconds until something may be due; a child that ends wakes the waiter by itself."""
        waits = [60.0]
        waits += [running.restart_at - now for running in self.running if running.restart_at is not None]
        waits += [PROBE_EVERY_SECONDS for running in self.running if not running.ready and running.restart_at is None]
        return min(waits)

    def _look_after(self, running: Running, now: float) -> None:
        service = running.service
        if running.restart_at is not None:
            if now >= running.restart_at:
                self._restart(running, now)
        elif running.process.poll() is not None:
            self._plan_restart(running, now)
        elif not running.ready and service.probe(running.process.pid):
            running.ready = True
            self.say(f"{service.name} answers again (pid {running.process.pid})")
            self.changed()

    def _restart(self, running: Running, now: float) -> None:
        """Start the service again, as soon as nothing is left of its former session: a kill takes a moment to end a process."""
        left = session_members(running.process.pid)
        if left:
            signal_all(left, signal.SIGKILL)
            longer = min(running.clearing * 2, LONGEST_DELAY_SECONDS)
            if running.clearing < LONGEST_DELAY_SECONDS <= longer:
                self.say(f"{running.service.name} waits for what is left of it and does not end: {', '.join(map(str, left))}")
            running.restart_at, running.clearing = now + running.clearing, longer
            return
        running.process, running.started, running.restart_at = self._spawn(running.service), now, None
        running.clearing = PROBE_EVERY_SECONDS
        self.changed()

    def _plan_restart(self, running: Running, now: float) -> None:
        """The delay doubles from death to death, and starts anew after a steady life. What is left of the process's session is killed at once."""
        signal_all(session_members(running.process.pid), signal.SIGKILL)
        if now - running.started > STEADY_AFTER_SECONDS:
            running.delay = FIRST_DELAY_SECONDS
        running.restart_at, running.ready = now + running.delay, False
        self.say(f"{running.service.name} {ending(running.process)}; starting it again in {running.delay:.1f} s")
        running.delay = min(running.delay * 2, LONGEST_DELAY_SECONDS)
        self.changed()

    def stop(self) -> None:
        """Stop all in reverse order, each within its time."""
        for running in reversed(self.running):
            service = running.service
            if running.process.poll() is None and not self.waiter.hurry:
                self.say(f"stopping {service.name}")
            seconds = ABANDONED_STOP_SECONDS if self.waiter.abandoned else service.stop_seconds
            self._end(running.process, service.stop_signal, seconds=seconds)
            for path in service.litter:
                path.unlink(missing_ok=True)
        self.running.clear()

    def _end(self, process: "subprocess.Popen[bytes]", number: signal.Signals, *, seconds: float) -> None:
        """Signal the process, wait for its end, then kill what remains of its session. A second request to stop cuts the wait short."""
        deadline = time.monotonic() + seconds
        if process.poll() is None:
            process.send_signal(number)
        while process.poll() is None and time.monotonic() < deadline and not self.waiter.hurry:
            self.waiter.wait(deadline - time.monotonic())
            self._collect_orphans()
        if process.poll() is None:
            process.kill()
        signal_all(session_members(process.pid), signal.SIGKILL)
        process.wait()

    def _collect_orphans(self) -> None:
        """Collect ended processes that became ours when their parent ended. Our own children are left to their Popen objects, which ask soon."""
        while (pid := ended_child()) and pid not in self._own:
            collect(pid)


def ending(process: "subprocess.Popen[bytes]") -> str:
    """How a process ended, in words."""
    code = process.returncode
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
