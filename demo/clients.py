"""The public clients, run unmodified in their own environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CLIENTS = ROOT / ".venvs" / "ikomia" / "bin"
TOKEN = re.compile(r"slw_[\w-]+")


class Clients:
    """`ikcli` and `ikclient` of one user; `home` is an empty folder of theirs."""

    def __init__(self, url: str, home: Path) -> None:
        self.home = home
        self.environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "COLUMNS": "220",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "IKOMIA_URL": url,
        }

    def command(self, *arguments: str) -> str:
        """Run ikcli; return what it prints. Ends the demo with its words when it fails."""
        return self.run([str(CLIENTS / "ikcli"), *arguments])

    def login(self, username: str, password: str) -> None:
        """Make a token with ikcli and keep it for the commands that follow."""
        told = self.command("login", "--username", username, "--password", password, "--token-ttl", "3600")
        found = TOKEN.search(told.replace("\n", ""))
        if found is None:
            raise SystemExit(f"ikcli login printed no token:\n{told}")
        self.environment["IKOMIA_TOKEN"] = found.group()

    def script(self, name: str | Path, *arguments: str) -> dict[str, Any]:
        """Run a script (of this folder, or by its path) with the client library's interpreter; return the JSON of its last line."""
        lines = self.run([str(CLIENTS / "python"), str(Path(__file__).parent / name), *arguments]).strip().splitlines()
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer

    def run(self, command: list[str]) -> str:
        """Run a command in the user's environment."""
        done = subprocess.run(command, env=self.environment, cwd=self.home, text=True, capture_output=True, timeout=120, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command[:4])} … failed ({done.returncode}):\n{done.stdout}{done.stderr}")
        return done.stdout
