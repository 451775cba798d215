"""How long a run waits for a replica, and what it is told when none comes."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.routes import Route
from gateway.run import Outcome, Run, failure
from gateway.settings import Settings

# Nothing will start by itself in these states. What a person did is no fault of the deployment.
AT_REST = {"ERROR": True, "PAUSED": False, "SUSPENDED": False, "DELETING": False, "DELETED": False}


@dataclass(slots=True)
class Darkness:
    """Since when no replica of a deployment has answered, in monotonic seconds; None while one does."""

    since: float | None = None

    def begin(self, now: float) -> None:
        """A replica did not answer, or there is none."""
        if self.since is None:
            self.since = now

    def end(self) -> None:
        """One answered."""
        self.since = None


def verdict_on(run: Run, route: Route | None, darkness: Darkness, settings: Settings, now: float, *, since: float) -> Outcome | None:
    """Return how a run that waits for a replica since then ends now, or None: it goes on waiting."""
    if run.elapsed >= settings.run_timeout:
        return timed_out(settings)
    if route is not None and not route.replicas and route.status in AT_REST:
        return at_rest(route)
    if run.cold and (route is None or not route.replicas):
        # One whose replica died waits for another start.
        cold_for = run.elapsed if run.replica is None else now - since
        return never_woke(route, settings) if cold_for > settings.cold_start_wait else None
    if darkness.since is not None and min(now - darkness.since, waited(run, now)) > settings.runtime_deadline:
        return unavailable(settings)
    return None


def waited(run: Run, now: float) -> float:
    """Return the seconds since a run was accepted, also by a gateway that died; one that ran before counts from its adoption."""
    return run.elapsed if run.replica is None else now - run.born


def timed_out(settings: Settings) -> Outcome:
    """Return the end of a run that took too long in all."""
    return failure("run_timeout", f"The run did not end within {settings.run_timeout:.0f} s.")


def unavailable(settings: Settings) -> Outcome:
    """Return the end of a run that no runtime took."""
    seconds = f"{settings.runtime_deadline:.0f} s"
    return failure(
        "runtime_unavailable", f"No runtime of this deployment answered for {seconds}. Look into its logs, then send the run again."
    )


def at_rest(route: Route) -> Outcome:
    """Return the end of a run whose deployment will not start: the deployment's own reason."""
    fault = AT_REST[route.status]
    code = "start_failed" if fault else f"deployment_{route.status.lower()}"
    what = "could not be started" if fault else f"is {route.status}"
    return failure(
        code, f"The run waited for a replica, but the deployment {what}.{why(route)} Send it again once that is resolved.", fault=fault
    )


def never_woke(route: Route | None, settings: Settings) -> Outcome:
    """Return the end of a run that waited for a sleeping deployment in vain."""
    status = f" It is {route.status}.{why(route)}" if route is not None else ""
    detail = f"The deployment was asleep, and no replica was ready within {settings.cold_start_wait:.0f} s.{status}"
    return failure("cold_start_timeout", f"{detail} Look into the deployment's logs, then send the run again.")


def why(route: Route) -> str:
    """Return the deployment's reason as a sentence to append, if it has one."""
    return f" {route.reason.detail}" if route.reason and route.reason.detail else ""
