"""Under whose name PostgreSQL runs: it refuses root.

Not root: directly. Root: as `nobody`, who must reach the programs and the data folder; else inside a user namespace, where root's
files belong to an ordinary user; else with the programs copied to where `nobody` reaches them.
"""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.errors import EmbeddedError

UNSHARE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass(frozen=True)
class Account:
    """How to start PostgreSQL: user and group to switch to (None: stay), words before the command, owner of the data, folder of its package."""

    user: int | None
    group: int | None
    prefix: tuple[str, ...]
    owner: tuple[int, int]
    package: Path


def choose_account(
    *,
    package: Path,
    data: Path,
    uid: int,
    gid: int,
    reaches: Callable[[Path], bool] | None = None,
    may_unshare: Callable[[], bool] | None = None,
) -> Account:
    """The way that works here, tried in the order above. Raises EmbeddedError when none does. Copies the programs only as the last way."""
    if uid != 0:
        return Account(user=None, group=None, prefix=(), owner=(uid, gid), package=package)
    nobody = pwd.getpwnam("nobody")
    reaches = reaches or anyone_reaches
    dropped = Account(user=nobody.pw_uid, group=nobody.pw_gid, prefix=(), owner=(nobody.pw_uid, nobody.pw_gid), package=package)
    if reaches(data) and all(reaches(path) for path in needed_files(package)):
        return dropped
    if (may_unshare or user_namespaces_work)():
        return Account(user=None, group=None, prefix=UNSHARE, owner=(uid, gid), package=package)
    if reaches(data):
        copy = copy_package(package, data / "programs")
        return Account(user=dropped.user, group=dropped.group, prefix=(), owner=dropped.owner, package=copy)
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and the user `nobody` cannot reach {data}. Use a data folder that others may pass through "
        "(--data-dir /var/lib/slipway), start as another user, or set DATABASE_URL."
    )


def needed_files(package: Path) -> list[Path]:
    """A sample of what the server reads; the rest has the same modes, from the same installation."""
    install = package / "pginstall"
    return [install / "bin" / "postgres", install / "bin" / "initdb", install / "share" / "postgres.bki", install / "lib"]


def anyone_reaches(path: Path) -> bool:
    """Whether a user without any rights of its own can pass to `path` and read it (a folder: pass through it)."""
    if not path.exists():
        return False
    wanted = stat.S_IXOTH if path.is_dir() else stat.S_IROTH
    passable = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
    return passable and bool(path.stat().st_mode & wanted)


def user_namespaces_work() -> bool:
    """Whether this machine lets us make a user namespace."""
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        return False


def copy_package(package: Path, target: Path) -> Path:
    """Copy PostgreSQL's package and its libraries, readable for all. An unfinished copy is never used."""
    copy = target / package.name
    if not copy.exists():
        fresh = target.with_name(target.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        for folder in (package, package.with_name(package.name + ".libs")):
            if folder.exists():
                shutil.copytree(folder, fresh / folder.name, symlinks=True)
        for path in [fresh, *fresh.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        fresh.rename(target)
    return copy


def give_folder(folder: Path, owner: tuple[int, int]) -> None:
    """Make the folder and all in it belong to `owner`, when it does not yet (the way of starting may have changed since the last start)."""
    found = folder.stat()
    if (found.st_uid, found.st_gid) == owner:
        return
    for path in [*folder.rglob("*"), folder]:
        os.chown(path, *owner, follow_symlinks=False)
