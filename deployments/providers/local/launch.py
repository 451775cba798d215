"""Become the runtime: join cgroups, drop privileges, die with the agent, exec. Runs as a script of its own, with the standard library alone.

Doing this after exec of a fresh interpreter (about 15 ms) instead of in a fork of the agent keeps threads and locks of the agent out of it.
The one argument is JSON: {"parent": pid, "cgroups": [folder], "uid": int|null, "cpus": [int]|null, "command": [...], "environment": {...}, "folder": path}.
"""

import ctypes
import json
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
OPEN_FILES = 8192


def main() -> None:
    """Apply everything in the order in which the kernel allows it."""
    plan = json.loads(sys.argv[1])
    for folder in plan["cgroups"]:
        with open(os.path.join(folder, "cgroup.procs"), "w") as file:
            file.write("0")
    if plan["cpus"]:
        os.sched_setaffinity(0, plan["cpus"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    if plan["uid"] is not None:
        os.setgroups([])
        os.setresgid(plan["uid"], plan["uid"], plan["uid"])
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # After the change of user: the kernel forgets the death signal when credentials change.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != plan["parent"]:
        sys.exit("The agent ended before the runtime began.")
    os.umask(0o077)
    os.chdir(plan["folder"])
    os.execve(plan["command"][0], plan["command"], plan["environment"])  # noqa: S606


if __name__ == "__main__":
    main()
