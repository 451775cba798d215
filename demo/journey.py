"""The user's way through the product, through the public clients and the API: what the demo tells and the benches time."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo.clients import ROOT, Clients

EXAMPLES = ROOT / "controlplane" / "projects" / "examples"
PASSWORD = "a long walk by the quay"  # noqa: S105 - of a user that lives for a minute
PATIENCE_S = 120
OFFER = ("AWS", "FRANCE", "SERVERLESS")


class Journey:
    """One user at a running service. `url` is the origin of the API, `home` an empty folder."""

    def __init__(self, url: str, home: Path, username: str = "ines") -> None:
        self.url = url
        self.home = home
        self.username = username
        self.clients = Clients(url, home)

    def sign_in(self) -> None:
        """Sign up and log in through ikcli."""
        address = f"{self.username}@example.com"
        self.clients.command("signup", "--username", self.username, "--email", address, "--password", PASSWORD)
        self.clients.login(self.username, PASSWORD)
        self.clients.command("whoami")

    def push(self, project: str, example: str) -> None:
        """Push one of the example workflows through ikcli."""
        self.clients.command("project", "push", project, str(self.engine_saved_workflow(EXAMPLES / example)))

    def engine_saved_workflow(self, example: Path) -> Path:
        """Write a workflow as the engine saves it: with the absolute folder of each plugin."""
        document = json.loads((example / "workflow.json").read_text())
        for task in document["tasks"]:
            if "url" in task["task_data"]:
                task["task_data"]["url"] = (example / task["task_data"]["name"]).as_uri()
        path = self.home / f"{example.name}.json"
        path.write_text(json.dumps(document))
        return path

    def deploy(self, project: str, workflow: str, tell: Callable[[str, float], None] | None = None) -> dict[str, Any]:
        """Deploy through ikcli unless it is deployed, wait for RUNNING; `tell(status, seconds)` hears each state. Returns the deployment."""
        began = time.perf_counter()
        listed = self.deployments_url(project, workflow)
        if not self.get(listed)["count"]:
            self.clients.command("project", "workflow", "deploy", project, workflow, *OFFER, "--size", "S")
        seen = ""
        while time.perf_counter() - began < PATIENCE_S:
            deployment: dict[str, Any] = self.get(listed)["results"][0]
            if deployment["status"] != seen and tell is not None:
                tell(deployment["status"], time.perf_counter() - began)
            seen = deployment["status"]
            if seen == "RUNNING":
                return deployment
            if seen == "ERROR":
                raise SystemExit(f"The deployment failed: {deployment['reason']}")
            time.sleep(0.03)
        raise SystemExit(f"The deployment is {seen} after {PATIENCE_S} s.")

    def await_usage(self, deployment: dict[str, Any], runs: int) -> dict[str, Any]:
        """Return the usage of the deployment's only product once it counts so many runs."""
        began = time.perf_counter()
        while time.perf_counter() - began < PATIENCE_S:
            rows = self.get_json(f"{deployment['url']}usage/", self.authorization)
            if rows and rows[0]["hits"]["total"] >= runs:
                return dict(rows[0])
            time.sleep(0.1)
        raise SystemExit(f"Not all {runs} runs are counted after {PATIENCE_S} s: {rows}")

    def billing(self, route: str = "") -> dict[str, Any]:
        """GET a route of the workspace's billing: "" is its balance and plan."""
        workspace = self.get(f"{self.url}/v1/namespaces/?path={self.username}")["results"][0]["url"]
        return self.get(f"{workspace}billing/{route}")

    def deployments_url(self, project: str, workflow: str) -> str:
        """Return where the deployments of a workflow are listed."""
        found = self.get(f"{self.url}/v1/projects/?name={project}&namespace={self.username}")["results"][0]["url"]
        return str(self.get(f"{found}workflows/?name={workflow}")["results"][0]["url"]) + "deployments/"

    def get(self, url: str) -> dict[str, Any]:
        """GET a route of the API."""
        found: dict[str, Any] = self.get_json(url, self.authorization)
        return found

    @property
    def authorization(self) -> str:
        """Return the header's value with the token of the login."""
        return f"Token {self.clients.environment['IKOMIA_TOKEN']}"

    def endpoint_get(self, endpoint: str, path: str) -> Any:
        """GET a route of an endpoint."""
        token = self.get(f"{self.url}/v1/projects/jwt/?endpoint={endpoint}")["id_token"]
        return self.get_json(endpoint + path, f"Bearer {token}")

    def get_json(self, url: str, authorization: str) -> Any:
        """GET JSON with a header of authorization."""
        request = urllib.request.Request(url, headers={"Authorization": authorization})  # noqa: S310 - the service that we started
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)
