"""A user at the running service, who works through the public clients and looks on through the API."""

from __future__ import annotations

import json
import secrets
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.contracts.clients import CLIENTS, Output, ask_client, ikcli, token_in

PASSWORD = "a long walk by the quay"
PATIENCE_S = 90


class Person:
    """Signed up and logged in through ikcli; `home` is an empty folder of theirs, `token` what the login printed."""

    def __init__(self, url: str, home: Path, name: str, programs: Path = CLIENTS) -> None:
        self.url = url
        self.home = home
        self.programs = programs
        self.username = f"{name}-{secrets.token_hex(4)}"
        self.token: str | None = None
        self.must("signup", "--username", self.username, "--email", f"{self.username}@example.com", "--password", PASSWORD)
        self.token = token_in(self.must("login", "--username", self.username, "--password", PASSWORD).printed)

    def ikcli(self, *args: str, answers: str = "") -> Output:
        """Run a command as this person."""
        return ikcli(self.url, self.token, *args, cwd=self.home, home=self.home, answers=answers, programs=self.programs)

    def must(self, *args: str, answers: str = "") -> Output:
        """Run a command that has to succeed."""
        done = self.ikcli(*args, answers=answers)
        assert done.code == 0, done.printed + done.complained
        return done

    def ask(self, scenario: str, **arguments: Any) -> Any:
        """Run a scenario with the client library as this person."""
        return ask_client(self.url, self.token, scenario, home=self.home, **arguments)

    def get(self, url: str, **query: str) -> Any:
        """GET an address of the API."""
        address = url if url.startswith("http") else self.url + url
        if query:
            address += "?" + urllib.parse.urlencode(query)
        return self.send("GET", address)

    def send(self, method: str, url: str, body: Any = None) -> Any:
        """Ask the API what no command of the client asks."""
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=30) as answer:
            return json.load(answer) if "json" in answer.headers["Content-Type"] else answer.read()

    def one(self, url: str, **query: str) -> Any:
        """The only row of a list."""
        found = self.get(url, **query)
        assert found["count"] == 1, found
        return found["results"][0]

    def workflow(self, project: str, name: str) -> Any:
        """A workflow as the API shows it."""
        return self.one(self.one("/v1/projects/", name=project, namespace=self.username)["url"] + "workflows/", name=name)

    def save(self, document: dict[str, Any], **plugins: Path) -> Path:
        """Write a workflow as the engine saves it: with the absolute folder of each plugin."""
        for task in document["tasks"]:
            if task["task_data"]["name"] in plugins:
                task["task_data"].update(language=1, url=plugins[task["task_data"]["name"]].as_uri())
        path = self.home / f"{document['metadata']['name']}.json"
        path.write_text(json.dumps(document))
        return path

    def deploy(self, project: str, name: str, *offer: str) -> Any:
        """Deploy through ikcli and wait until it runs; return the deployment as the API shows it."""
        self.must("project", "workflow", "deploy", project, name, *(offer or ("AWS", "FRANCE", "SERVERLESS")), "--size", "S")
        return self.until_running(project, name)

    def until_running(self, project: str, name: str) -> Any:
        """Wait until the workflow's deployment is RUNNING; fails at once when it ends in ERROR."""
        listed = self.workflow(project, name)["url"] + "deployments/"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            deployment = self.one(listed)
            if deployment["status"] == "RUNNING":
                return deployment
            assert deployment["status"] != "ERROR", deployment["reason"]
            assert time.monotonic() < deadline, deployment
            time.sleep(0.05)
