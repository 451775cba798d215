"""Secrets of an embedded installation: made on the first start, then kept in a file that only its owner reads."""

import base64
import json
import os
import secrets
import uuid
from pathlib import Path

from controlplane.embedded.errors import EmbeddedError

MODE = 0o600


def write_private(path: Path, text: str) -> None:
    """Write the file in one step, with mode 0600 from its first moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load_secrets(path: Path, *, data_exists: bool) -> dict[str, str]:
    """The installation's secrets, made when there are none yet.

    Raises EmbeddedError when the file is missing beside existing data: new secrets would make that data unreadable.
    """
    if path.exists():
        path.chmod(MODE)
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    if data_exists:
        raise EmbeddedError(f"{path} is missing but {path.parent} holds data. Put the file back from a backup, or use another data folder.")
    made = make_secrets()
    write_private(path, json.dumps(made, indent=2))
    return made


def make_secrets() -> dict[str, str]:
    """New random values. FIELD_KEY has the form of a Fernet key: 32 bytes in URL-safe base64."""
    return {
        "database_password": secrets.token_urlsafe(24),
        "valkey_password": secrets.token_urlsafe(24),
        "S3_ACCESS_KEY": secrets.token_hex(10),
        "S3_SECRET_KEY": secrets.token_urlsafe(30),
        "SECRET_KEY": secrets.token_urlsafe(48),
        "FIELD_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "INSTALLATION_ID": str(uuid.uuid4()),
    }
