"""The public Ikomia clients, run unmodified in their own environment with an empty HOME."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / ".venvs/ikomia/bin"
WITH_ENGINE = ROOT / ".venvs/ikomia-full/bin"
SESSION = Path(__file__).parent / "ikclient_session.py"
ENGINE_SESSION = Path(__file__).parent / "engine_session.py"
PATIENCE_S = 120
_FRAME = re.compile("[\u2500-\u257f]+")
_TOKEN = re.compile(r"export IKOMIA_TOKEN=(\S+)")


@dataclass(frozen=True)
class Output:
    """What a command printed and how it ended."""

    code: int
    printed: str
    complained: str

    @property
    def text(self) -> str:
        """What was printed, without the frames of tables and panels and with single spaces: it reads the same however wide it was."""
        return " ".join(_FRAME.sub(" ", self.printed).split())

    @property
    def rows(self) -> list[list[str]]:
        """The body of the printed table, cell by cell."""
        lines = [line for line in self.printed.splitlines() if line.startswith("\u2502")]
        return [[cell.strip() for cell in line.strip("\u2502").split("\u2502")] for line in lines]

    def refused(self, *words: str) -> bool:
        """Check that the command ended with a message that holds these words, not with a traceback of the client."""
        assert self.code == 1, self.printed
        assert "Traceback" not in self.printed + self.complained, self.complained
        missing = [word for word in words if word not in self.text]
        assert not missing, (missing, self.text)
        return True

    def documents(self) -> list[Any]:
        """The JSON values in what was printed, in order; other lines are skipped."""
        decoder, found, text, at = json.JSONDecoder(), [], self.printed, 0
        while (start := text.find("{", at)) >= 0:
            try:
                value, at = decoder.raw_decode(text, start)
            except json.JSONDecodeError:
                at = start + 1
            else:
                found.append(value)
        return found


def environment(stack_url: str, token: str | None, home: Path, programs: Path = CLIENTS) -> dict[str, str]:
    """A terminal wide enough that no table is cut, no viewer for pictures in reach, and nothing of the caller's own settings."""
    return {
        "PATH": str(programs),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "COLUMNS": "400",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "IKOMIA_AUTO_COMPLETION": "0",  # else the engine writes into its own installation
        "IKOMIA_URL": stack_url,
        "IKOMIA_SCALEFS_URL": stack_url,
        **({"IKOMIA_TOKEN": token} if token else {}),
    }


def ikcli(stack_url: str, token: str | None, *args: str, cwd: Path, home: Path, answers: str = "", programs: Path = CLIENTS) -> Output:
    """Run one command; `answers` are typed at its prompts. There is no terminal, so passwords are read from them too."""
    done = subprocess.run(
        [str(programs / "ikcli"), *args],
        env=environment(stack_url, token, home, programs),
        cwd=cwd,
        input=answers,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        start_new_session=True,
        check=False,
    )
    return Output(done.returncode, done.stdout, done.stderr)


def ask_client(stack_url: str, token: str | None, scenario: str, *, home: Path, **arguments: Any) -> Any:
    """Run a scenario of `ikclient_session.py` with the client library's interpreter; return what it found."""
    done = subprocess.run(
        [str(CLIENTS / "python"), str(SESSION), scenario, json.dumps(arguments, default=str)],
        env=environment(stack_url, token, home),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_engine(stack_url: str, token: str | None, home: Path, *arguments: str) -> Output:
    """Run `engine_session.py` with the engine's interpreter; the engine's folder is below `home`."""
    done = subprocess.run(
        [str(WITH_ENGINE / "python"), str(ENGINE_SESSION), stack_url, *arguments],
        env=environment(stack_url, token, home, WITH_ENGINE),
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Output(done.returncode, done.stdout, done.stderr)


def token_in(printed: str) -> str:
    """The token that `ikcli login` printed."""
    found = _TOKEN.search(printed)
    assert found, printed
    return found[1]
