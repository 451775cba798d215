"""The main job: sign up, push, deploy, run on a real picture, see the result, the timings and the charge."""

from __future__ import annotations

import shutil
import time
from decimal import Decimal
from typing import Any

from demo.clients import ROOT
from demo.journey import PATIENCE_S, Journey
from demo.narrator import say, step
from demo.service import running_service
from tests.pictures import COINS

FOLDER = ROOT / ".demo"
NAME = "detect_objects"


def main() -> None:
    """Tell the story from start to end; any failure ends it with a message and a non-zero status."""
    began = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    home = FOLDER / "home"
    home.mkdir(parents=True)
    say("Slipway demo")
    with running_service(ROOT, step) as service:
        journey = Journey(service.url, home)
        with step("ikcli signup, login, whoami"):
            journey.sign_in()
        deployment = deploy(journey)
        runs = use(journey, str(deployment["endpoint"]))
        show_record(journey, deployment, runs)
    say(f"Done in {time.perf_counter() - began:.1f} s.")


def deploy(journey: Journey) -> dict[str, Any]:
    """Push the workflow with its plugin, deploy it, wait until it runs."""
    with step("ikcli project add, push (a workflow with a detector plugin)"):
        journey.clients.command("project", "add", journey.username, "quay")
        journey.push("quay", NAME)
    say("  ikcli project workflow deploy quay detect_objects AWS FRANCE SERVERLESS --size S")
    deployment = journey.deploy("quay", NAME, lambda status, seconds: say(f"    {status:<60}{seconds:7.2f} s"))
    say(f"    endpoint {deployment['endpoint']}")
    isolation = ", ".join(f"{name} {level}" for name, level in (deployment.get("isolation") or {}).items())
    say(f"    served by the {deployment['backend']} backend ({isolation or 'no isolation reported'})")
    return deployment


def use(journey: Journey, endpoint: str) -> int:
    """Run the endpoint on a real picture with ikclient and write the result; return the number of runs."""
    result = FOLDER / "result.jpg"
    with step("ikclient: run on a photograph of coins"):
        told = journey.clients.script("run_picture.py", endpoint, str(COINS), str(result), NAME)
    say(
        f"    {told['boxes']} objects found; first call {told['first_ms']:.0f} ms, median of {told['runs']} more {told['median_ms']:.1f} ms"
    )
    say(f"    result picture: {result}")
    return 1 + int(told["runs"])


def show_record(journey: Journey, deployment: dict[str, Any], runs: int) -> None:
    """Show the newest line of the log, the usage and the charge, once every run is counted (a second or two after its end)."""
    with step("ikcli project deployment logs, usage"):
        counted = journey.await_usage(deployment, runs)
        logs = journey.clients.command("project", "deployment", "logs", "quay", NAME, "--limit", "1")
        usage = journey.clients.command("project", "deployment", "usage", "quay", NAME, "--period", "day")
    for line in [*logs.strip().splitlines(), *usage.strip().splitlines()]:
        say(f"    {line}")
    show_charges(journey, int(counted["micro_credits"]))


def show_charges(journey: Journey, micro_credits: int) -> None:
    """Show the bill of the day, once it is as much as the usage says, and what is left."""
    with step("the bill of the day"):
        lines = await_charges(journey, micro_credits)
        standing = journey.billing()
    for line in lines:
        say(f"    {line['from'][:16]}Z  {line['price']['code']}  {line['sum']}")
    left, plan = standing["in_credits"]["balance"], standing["plan"]["name"]
    say(f"    charged {Decimal(micro_credits) / 1_000_000} credits; {left} of the {plan} plan's are left")


def await_charges(journey: Journey, micro_credits: int) -> list[dict[str, Any]]:
    """Return the charges by deployment, price and day, once they come to this sum: there may be one for each run, more than a page."""
    began = time.perf_counter()
    while time.perf_counter() - began < PATIENCE_S:
        lines: list[dict[str, Any]] = journey.billing("charges/?by=day")["results"]
        if sum(line["micro_credits"] for line in lines) >= micro_credits:
            return lines
        time.sleep(0.1)
    raise SystemExit(f"Not all runs are charged after {PATIENCE_S} s: {lines}")


if __name__ == "__main__":
    main()
