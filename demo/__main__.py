"""The main job: sign up, push, deploy, run on a real picture, see the result, the timings and the charge."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.pictures import COINS

from demo.clients import ROOT, Clients
from demo.narrator import say, step
from demo.service import running_service

FOLDER = ROOT / ".demo"
EXAMPLE = ROOT / "controlplane" / "projects" / "examples" / "detect_objects"
PASSWORD = "a long walk by the quay"  # noqa: S105 - of a user that lives for a minute
PATIENCE_S = 120
NAME = "detect_objects"


def main() -> None:
    """Tell the story from start to end; any failure ends it with a message and a non-zero status."""
    began = time.perf_counter()
    shutil.rmtree(FOLDER, ignore_errors=True)
    home = FOLDER / "home"
    home.mkdir(parents=True)
    say("Slipway demo")
    starting = step("start the service (PostgreSQL, Valkey, S3, web, gateway, worker)")
    starting.__enter__()
    with running_service(ROOT, FOLDER / "data") as service:
        starting.__exit__(None, None, None)
        clients = Clients(service.url, home)
        sign_in(clients)
        endpoint = deploy(clients, service.url)
        use(clients, endpoint)
        show_record(clients)
        stopping = step("stop everything")
        stopping.__enter__()
    stopping.__exit__(None, None, None)
    say(f"Done in {time.perf_counter() - began:.1f} s.")


def sign_in(clients: Clients) -> None:
    """Sign up and log in through ikcli."""
    with step("ikcli signup, login, whoami"):
        clients.command("signup", "--username", "ines", "--email", "ines@example.com", "--password", PASSWORD)
        clients.login("ines", PASSWORD)
        clients.command("whoami")


def deploy(clients: Clients, url: str) -> str:
    """Push the workflow with its plugin, deploy it, wait until it runs; return its endpoint."""
    with step("ikcli project add, push (a workflow with a detector plugin)"):
        clients.command("project", "add", "ines", "quay")
        clients.command("project", "push", "quay", str(engine_saved_workflow(clients.home)))
    began = time.perf_counter()
    with step("ikcli project workflow deploy … AWS FRANCE SERVERLESS S"):
        clients.command("project", "workflow", "deploy", "quay", NAME, "AWS", "FRANCE", "SERVERLESS", "--size", "S")
    deployment = wait_until_running(clients, url, began)
    say(f"  endpoint {deployment['endpoint']}")
    isolation = ", ".join(f"{name} {level}" for name, level in (deployment.get("isolation") or {}).items())
    say(f"  served by the {deployment['backend']} backend ({isolation or 'no isolation reported'})")
    return str(deployment["endpoint"])


def engine_saved_workflow(folder: Path) -> Path:
    """Write the workflow as the engine saves it: with the absolute folder of each plugin."""
    document = json.loads((EXAMPLE / "workflow.json").read_text())
    for task in document["tasks"]:
        if "url" in task["task_data"]:
            task["task_data"]["url"] = (EXAMPLE / task["task_data"]["name"]).as_uri()
    path = folder / "workflow.json"
    path.write_text(json.dumps(document))
    return path


def wait_until_running(clients: Clients, url: str, began: float) -> dict[str, Any]:
    """Follow the deployment's states and print when each began."""
    workflow = ask(clients, f"{url}/v1/projects/?name=quay")["results"][0]["url"] + "workflows/"
    deployments = ask(clients, workflow)["results"][0]["url"] + "deployments/"
    seen = ""
    while time.perf_counter() - began < PATIENCE_S:
        deployment: dict[str, Any] = ask(clients, deployments)["results"][0]
        if deployment["status"] != seen:
            seen = deployment["status"]
            say(f"    {seen:<60}{time.perf_counter() - began:7.2f} s")
        if seen == "RUNNING":
            return deployment
        if seen == "ERROR":
            raise SystemExit(f"The deployment failed: {deployment['reason']}")
        time.sleep(0.05)
    raise SystemExit(f"The deployment is {seen} after {PATIENCE_S} s. See {FOLDER / 'data' / 'logs'}.")


def ask(clients: Clients, url: str) -> dict[str, Any]:
    """GET a route of the API."""
    request = urllib.request.Request(url, headers={"Authorization": f"Token {clients.environment['IKOMIA_TOKEN']}"})  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
        found: dict[str, Any] = json.load(answer)
    return found


def use(clients: Clients, endpoint: str) -> None:
    """Run the endpoint on a real picture with ikclient and write the result."""
    result = FOLDER / "result.jpg"
    with step("ikclient: run on a photograph of coins"):
        told = clients.script("run_picture.py", endpoint, str(COINS), str(result), NAME)
    say(
        f"    {told['boxes']} objects found; first call {told['first_ms']:.0f} ms, median of {told['runs']} more {told['median_ms']:.1f} ms"
    )
    say(f"    result picture: {result}")


def show_record(clients: Clients) -> None:
    """Show the logs, the usage and what was charged."""
    with step("ikcli project deployment logs, usage"):
        logs = clients.command("project", "deployment", "logs", "quay", NAME, "--limit", "3")
        usage = clients.command("project", "deployment", "usage", "quay", NAME, "--period", "day")
    for line in [*logs.strip().splitlines()[-3:], *usage.strip().splitlines()]:
        say(f"    {line}")


if __name__ == "__main__":
    main()
