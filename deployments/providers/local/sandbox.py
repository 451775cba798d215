"""How a runtime is kept apart: bubblewrap with no network where it works, else a plain process; a user of its own where we may change users."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

LAUNCH = Path(__file__).with_name("launch.py")
# The range that systemd gives to users that exist only while a service runs.
FIRST_UID = 61184
UID_COUNT = 4336
PROBE_SECONDS = 20.0
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The level that works on this machine. `bubblewrap` is the binary or None; `own_user` tells whether each replica has a user of its own."""

    python: Path
    code: Path
    bubblewrap: str | None
    own_user: bool

    @property
    def report(self) -> dict[str, str]:
        """Return what the API shows of it. "process" means trusted workflows only: the network and other users' readable files are in reach."""
        return {"sandbox": "bubblewrap" if self.bubblewrap else "process", "user": "own" if self.own_user else "shared"}

    def command(self, arguments: Sequence[str], *, bundle: Path, folder: Path) -> list[str]:
        """Return the whole command: the interpreter, inside bubblewrap if there is one. Only `folder` can be written."""
        inner = [str(self.python), *arguments]
        if not self.bubblewrap:
            return inner
        wrap = [
            self.bubblewrap,
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-net",
            "--unshare-cgroup-try",
        ]
        wrap += ["--die-with-parent", "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108
        for path in SYSTEM_FOLDERS:
            if os.path.islink(path):
                wrap += ["--symlink", os.readlink(path), path]
            elif os.path.isdir(path):
                wrap += ["--ro-bind", path, path]
        for path in SYSTEM_FILES:
            wrap += ["--ro-bind-try", path, path]
        for shared in (*interpreter_folders(self.python), self.code / "runtime", bundle):
            wrap += ["--ro-bind", str(shared), str(shared)]
        return [*wrap, "--bind", str(folder), str(folder), "--chdir", str(folder), "--", *inner]


def interpreter_folders(python: Path) -> list[Path]:
    """Return the folders outside the system's that the interpreter needs: its virtual environment and the installation behind it."""
    environment = python.parent.parent
    folders = [environment]
    settings = environment / "pyvenv.cfg"
    if settings.is_file():
        values = dict(line.replace(" ", "").split("=", 1) for line in settings.read_text().splitlines() if "=" in line)
        folders.append(Path(values["home"]).parent)
    folders.append(Path(os.path.realpath(python)).parent.parent)
    return [folder for folder in dict.fromkeys(folders) if not folder.is_relative_to("/usr") and str(folder) != "/"]


def launch_command(
    command: Sequence[str],
    *,
    environment: dict[str, str],
    folder: Path,
    uid: int | None,
    cgroups: Iterable[Path] = (),
    cpus: list[int] | None = None,
) -> list[str]:
    """Return the command that starts `command` through launch.py as a child of this process."""
    plan = {
        "parent": os.getpid(),
        "cgroups": [str(path) for path in cgroups],
        "uid": uid,
        "cpus": cpus,
        "command": list(command),
        "environment": environment,
        "folder": str(folder),
    }
    return [sys.executable, "-I", "-S", str(LAUNCH), json.dumps(plan)]


def user_for(name: str, taken: Iterable[int]) -> int:
    """Return a user id for a replica, the same after a restart unless another one has it."""
    used = set(taken)
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    for step in range(UID_COUNT):
        if (uid := FIRST_UID + (start + step) % UID_COUNT) not in used:
            return uid
    raise RuntimeError("Every user id for replicas is taken.")


def find_sandbox(*, python: Path, code: Path, scratch: Path, wanted: str = "auto") -> Sandbox:
    """Return the strongest level that works, each tried once for real: import numpy and listen on a socket in a bound folder.

    `wanted`: "auto", "bubblewrap" (fail without it) or "process". RuntimeError when not even a plain process works.
    """
    binary = None if wanted == "process" else shutil.which("bwrap")
    if wanted == "bubblewrap" and binary is None:
        raise RuntimeError("The sandbox 'bubblewrap' is wanted, but there is no bwrap on the path.")
    strongest = Sandbox(python=python, code=code, bubblewrap=binary, own_user=os.geteuid() == 0)
    levels = [strongest, replace(strongest, own_user=False)]
    if wanted == "auto":
        levels += [replace(level, bubblewrap=None) for level in levels]
    problem = ""
    for level in dict.fromkeys(levels):
        problem = probe(level, scratch)
        if not problem:
            return level
    raise RuntimeError(f"{python} cannot be started (sandbox {wanted}): {problem}")


def probe(level: Sandbox, scratch: Path) -> str:
    """Return "" if a small program runs at this level, else what it printed."""
    folder = scratch / "probe"
    shutil.rmtree(folder, ignore_errors=True)
    bundle = folder / "bundle"
    bundle.mkdir(parents=True)
    uid = FIRST_UID if level.own_user else None
    if uid is not None:
        os.chown(folder, uid, uid)
    program = "import os, runpy, socket, numpy; os.listdir('bundle'); socket.socket(socket.AF_UNIX).bind('probe.sock')"
    command = launch_command(
        level.command(["-c", program], bundle=bundle, folder=folder), environment={"PATH": "/usr/bin:/bin"}, folder=folder, uid=uid
    )
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_SECONDS, start_new_session=True, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return "" if done.returncode == 0 else done.stderr.decode("utf-8", "replace")[-400:] or f"ended with {done.returncode}"
